/** The table of control.test.ts against the real swtpm: what is expected there is what swtpm answers. */
import { ControlClient } from '../../lab/peers/control.js';
import { swtpmSocket } from '../../lab/peers/swtpm-socket.js';
import { peerTest } from '../_peers.js';
import { SCRIPT, SCRIPT_STARTED, type Step } from './_control-script.js';
import { receive, STARTUP } from './_tpm-socket.js';

peerTest('swtpm answers each control message as the table says', ['swtpm'], async t => {
  const { ctrl } = await swtpmSocket(t);
  const client = await ControlClient.open(ctrl);
  const { data } = await client.setDataFd();
  const run = async (steps: readonly Step[]): Promise<void> => {
    for (const { title, message, response } of steps) {
      const expected = response.replaceAll(' ', '');
      t.is((await client.ask(message)).slice(0, expected.length), expected, title);
    }
  };
  await run(SCRIPT);
  data.write(STARTUP);
  t.is(await receive(data, 10), '00c40000000a00000000');
  await run(SCRIPT_STARTED);
  data.destroy();
  client.close();
});
