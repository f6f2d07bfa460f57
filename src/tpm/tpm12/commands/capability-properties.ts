/**
 * What TPM_CAP_PROPERTY reports (TPM Main Part 2, §21.2), a row a property.
 * @module
 */
import type { Call } from '../call.js';
import { DURATIONS_US, LIMITS, TIMEOUTS_US } from '../limits.js';
import { freeNvBytes } from '../nv-area.js';
import { NO_COUNTER, RELEASED_COUNTER } from '../state/state.js';
import { Property } from '../structures/capability-info.js';
import { MANUFACTURER } from '../version.js';
import { word, words, yes } from './capability-answers.js';

/** The counters that there are. */
export const counterIds = ({ state }: Call): number[] =>
  state.permanent.data.counters.flatMap(({ valid }, id) => (valid ? [id] : []));

/** The handles of the saved contexts. */
export const contextHandles = ({ state }: Call): number[] =>
  state.stclear.contextList.filter(context => context !== 0);

/** The start effects that libtpms claims: keys, hashes, the audit digest. */
const STARTUP_EFFECTS = 0x54;

/** What each property is. */
// biome-ignore format: table
export const PROPERTIES: Readonly<Record<number, (call: Call) => Uint8Array>> = {
  [Property.PCR]:              () => word(LIMITS.pcrs),
  [Property.DIR]:              () => word(1),
  [Property.MANUFACTURER]:     () => MANUFACTURER,
  [Property.KEYS]:             ({ state }) => word(state.keys.free),
  [Property.MIN_COUNTER]:      () => word(0),
  [Property.AUTHSESS]:         ({ state }) => word(state.stclear.authSessions.free),
  [Property.TRANSESS]:         ({ state }) => word(state.stclear.transSessions.free),
  [Property.COUNTERS]:         call => word(LIMITS.counters - counterIds(call).length),
  [Property.MAX_AUTHSESS]:     () => word(LIMITS.authSessions),
  [Property.MAX_TRANSESS]:     () => word(LIMITS.transportSessions),
  [Property.MAX_COUNTERS]:     () => word(LIMITS.counters),
  [Property.MAX_KEYS]:         () => word(LIMITS.keyHandles),
  [Property.OWNER]:            ({ state }) => yes(state.permanent.data.ownerInstalled),
  [Property.CONTEXT]:          call => word(LIMITS.contexts - contextHandles(call).length),
  [Property.MAX_CONTEXT]:      () => word(LIMITS.contexts),
  [Property.FAMILYROWS]:       () => word(LIMITS.familyRows),
  [Property.TIS_TIMEOUT]:      () => words(TIMEOUTS_US),
  [Property.STARTUP_EFFECT]:   () => word(STARTUP_EFFECTS),
  [Property.DELEGATE_ROW]:     () => word(LIMITS.delegateRows),
  [Property.MAX_DAASESS]:      () => word(LIMITS.daaSessions),
  [Property.DAASESS]:          ({ state }) => word(state.stclear.daaSessions.free),
  [Property.CONTEXT_DIST]:     () => word(0xffff_ffff),
  [Property.DAA_INTERRUPT]:    () => yes(true),
  [Property.SESSIONS]:         ({ state: { stclear } }) => word(stclear.authSessions.free + stclear.transSessions.free),
  [Property.MAX_SESSIONS]:     () => word(LIMITS.authSessions + LIMITS.transportSessions),
  [Property.CMK_RESTRICTION]:  ({ state }) => word(state.permanent.data.restrictDelegate),
  [Property.DURATION]:         () => words(DURATIONS_US),
  [Property.ACTIVE_COUNTER]:   ({ state }) => word(activeCounter(state.stclear.countID)),
  [Property.MAX_NV_AVAILABLE]: ({ state }) => word(freeNvBytes(state.permanent.nv)),
  [Property.INPUT_BUFFER]:     () => word(LIMITS.bufferBytes),
};

/** A counter that was released counts as none. */
const activeCounter = (id: number): number => (id === RELEASED_COUNTER ? NO_COUNTER : id);
