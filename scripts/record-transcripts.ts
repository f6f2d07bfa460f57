/**
 * Records fixtures/transcripts and fixtures/states from swtpm. Needs swtpm (scripts/peers.sh).
 *
 *     node dist/scripts/record-transcripts.js [NAME…]
 */
import { recordTranscripts } from '../lab/recorder/transcripts.js';

recordTranscripts(process.argv.slice(2), line => console.log(line));
