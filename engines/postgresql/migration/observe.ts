/**
 * Where a transfer is, from what both databases say; both are asked at once, one statement each. It sets right in passing what
 * would otherwise stand still unseen: the list of standbys that streams wait for, and indexes that are to be built
 * after a copy.
 */
import type { End, EndFacts, StreamFacts, Transfer, TransferFacts } from '#engines/migration.ts';
import { generationOf } from '../generation-login.ts';
import { beginCopying, setPace } from './copier/job.ts';
import { beginBuilding, INDEX_FAILURES } from './defer-indexes.ts';
import { type EndState, queryEnd, tracesOf } from './end-query.ts';
import type { Ends } from './ends.ts';
import { type Journal, parseJournal, standing, verified } from './journal.ts';
import { publisher, type Stream, streamName, streams, subscriber } from './names.ts';
import { keepStandbys, sameList } from './standbys.ts';

/** A worker that failed so often since it last ran well fails for good. */
const ERRORS = 10;

export async function observe(ends: Ends, transfer: Transfer): Promise<TransferFacts> {
  const look = async (end: End) => queryEnd(ends[end].client, transfer.id, ends[end].given.standbys);
  const [source, target] = await Promise.all([look('source'), look('target')]);
  const states = { source, target };
  await Promise.all([mend(ends, 'source', source, transfer), mend(ends, 'target', target, transfer)]);
  return facts(transfer, states);
}

async function mend(ends: Ends, end: End, state: EndState, transfer: Transfer): Promise<void> {
  const { id, pace } = transfer;
  const publishes = streams.some(
    stream => publisher(stream) === end && streamName(id, stream) in state.slots,
  );
  if (publishes && !sameList(state.standbySlots, state.wantedStandbySlots)) await keepStandbys(ends[end]);
  if (state.copy && pace) await setPace(ends[end], id, pace);
  if (state.copy && !state.copy.running && state.copy.failures < ERRORS) await beginCopying(ends[end], id);
  const copies = state.subscriptions[streamName(id, 'forward')]?.tables;
  const isCopied = !state.copy && copies?.every(copied);
  if (state.deferred.count > 0 && state.deferred.failures < INDEX_FAILURES && isCopied)
    await beginBuilding(ends[end], id);
  for (const { oid, settled, errors } of Object.values(state.subscriptions)) {
    if (settled && errors > 0)
      await ends[end].client.query('SELECT pg_stat_reset_subscription_stats($1::oid)', [oid]);
  }
}

/** Pure. */
export function facts(transfer: Transfer, states: Readonly<Record<End, EndState>>): TransferFacts {
  const journals = {
    source: parseJournal(states.source.journal),
    target: parseJournal(states.target.journal),
  };
  const decision = standing(journals.source, journals.target);
  const timelines = `${states.source.timeline} ${states.target.timeline}`;
  const stood = (found: unknown) => {
    const { data } = verified.safeParse(found);
    return data && data.timelines === timelines ? data.at : undefined;
  };
  const forward = stood(journals.target?.forward_verified);
  const back = stood(journals.source?.back_verified);
  return {
    ends: {
      source: endFacts(transfer.id, states.source, journals.source, decision?.generations.source ?? 0),
      target: endFacts(transfer.id, states.target, journals.target, decision?.generations.target ?? 0),
    },
    forward: streamFacts(transfer, 'forward', states, journals),
    back: streamFacts(transfer, 'back', states, journals),
    verified: { ...(forward !== undefined && { forward }), ...(back !== undefined && { back }) },
    writes: decision?.writes ?? 'source',
    ...(decision && {
      decided: { at: decision.at, stallMs: decision.stallMs, generations: decision.generations },
    }),
  };
}

/** `decided`: the writers' generation that is in force by the decision record, though the floor may follow later. */
function endFacts(id: string, state: EndState, journal: Journal | undefined, decided: number): EndFacts {
  const open = (kind: 'writer' | 'reader') =>
    state.logins
      .filter(login => login.open && login.name.startsWith('app_ro_') === (kind === 'reader'))
      .map(login => generationOf(login.name))
      .toSorted((a, b) => a - b);
  const floorOf = (login: string) =>
    login.startsWith('app_ro_') ? state.floor.reader : Math.max(state.floor.writer, decided);
  return {
    prepared: journal !== undefined && journal.prepared && !journal.closing,
    traces: tracesOf(id, state),
    writers: open('writer'),
    readers: open('reader'),
    superseded: state.kept
      .filter(({ role, kind }) => kind === 'grace' && generationOf(role) < floorOf(role))
      .map(({ role }) => role),
    oldestTransactionSeconds: state.oldest,
    replicaLagBytes: Math.max(0, state.replicaLag),
  };
}

function streamFacts(
  transfer: Transfer,
  stream: Stream,
  states: Readonly<Record<End, EndState>>,
  journals: Readonly<Record<End, Journal | undefined>>,
): StreamFacts {
  const name = streamName(transfer.id, stream);
  const follower = states[subscriber(stream)].subscriptions[name];
  if (!follower) {
    // A copy that was being taken back: until its rows are gone, another one would run into them.
    return stream === 'forward' && journals.target?.copied
      ? { kind: 'Broken', reason: 'LeftOvers', message: 'rows of a copy that was dropped are at the target' }
      : { kind: 'Absent' };
  }
  const slot = states[publisher(stream)].slots[name];
  const at = publisher(stream);
  if (!slot) {
    return { kind: 'Broken', reason: 'SlotMissing', message: `the slot ${name} is not there at the ${at}` };
  }
  if (slot.invalidation !== null || slot.walStatus === 'lost') {
    const why = slot.invalidation ?? slot.walStatus ?? '';
    return { kind: 'Broken', reason: 'SlotLost', message: `the slot ${name} at the ${at} is lost (${why})` };
  }
  if (follower.errors >= ERRORS) {
    const message = `its worker at the ${subscriber(stream)} failed ${follower.errors} times: its log says why`;
    return { kind: 'Broken', reason: 'WorkerFails', message };
  }
  const { deferred } = states[subscriber(stream)];
  const copy = stream === 'forward' ? states.target.copy : null;
  if (copy && copy.failures >= ERRORS) {
    return { kind: 'Broken', reason: 'CopyFails', message: `the copier failed: ${copy.message ?? ''}` };
  }
  // A slot that is read from shows that the copy is complete: the target was looked at before it was.
  if (copy && !states.source.holder && !slot.active) {
    const message = `nobody holds the snapshot at the ${at} any more that was being copied`;
    return { kind: 'Broken', reason: 'SnapshotLost', message };
  }
  if (stream === 'forward' && deferred.failures >= INDEX_FAILURES) {
    const message = `an index at the target cannot be built again after the copy: ${deferred.message}`;
    return { kind: 'Broken', reason: 'IndexFails', message };
  }
  if (copy || !follower.tables.every(copied) || (stream === 'forward' && deferred.count > 0)) {
    return copy
      ? copyingByRange(copy, journals.target)
      : copying(follower.tables, journals[subscriber(stream)]);
  }
  return { kind: 'Streaming', lagBytes: slot.lagBytes ?? 0, connected: slot.active && follower.running };
}

function copied({ state }: { readonly state: string }): boolean {
  return state === 'r';
}

/** Before the data of a table has been copied it is in state `i` or `d`. */
function copying(
  tables: EndState['subscriptions'][string]['tables'],
  journal: Journal | undefined,
): StreamFacts {
  const sum = { rowsDone: 0, rowsTotal: 0, bytesDone: 0, bytesTotal: 0 };
  for (const { name, state, rows, bytes } of tables) {
    const size = journal?.copy?.[name] ?? { rows: 0, bytes: 0 };
    const there = state !== 'i' && state !== 'd';
    sum.rowsDone += there ? size.rows : rows;
    sum.bytesDone += there ? size.bytes : bytes;
    sum.rowsTotal += Math.max(size.rows, rows);
    sum.bytesTotal += Math.max(size.bytes, bytes);
  }
  return { kind: 'Copying', ...sum };
}

function copyingByRange(
  { rows, bytes }: NonNullable<EndState['copy']>,
  journal: Journal | undefined,
): StreamFacts {
  const sum = { rowsDone: rows, rowsTotal: 0, bytesDone: bytes, bytesTotal: 0 };
  for (const size of Object.values(journal?.copy ?? {})) {
    sum.rowsTotal += size.rows;
    sum.bytesTotal += size.bytes;
  }
  return {
    kind: 'Copying',
    ...sum,
    rowsTotal: Math.max(sum.rowsTotal, rows),
    bytesTotal: Math.max(sum.bytesTotal, bytes),
  };
}
