/** What a controller does with a transfer, without Kubernetes: the verbs in their order, the map in between. */
import { expect } from 'vitest';
import type { End, FenceLimits, FenceResult, TransferFacts, TransferSession } from '#engines/migration.ts';
import type { Pair } from './pair.ts';
import { ends, until } from './pair.ts';

export const limits: FenceLimits = { lockTimeoutMs: 300, maxStallMs: 2000 };

/** Until both streams run and have nothing left to carry. */
export async function connectStreams(session: TransferSession): Promise<void> {
  await session.prepare();
  await session.startForward();
  await copied(session);
  await session.startBack();
  await caughtUp(session);
}

/** The first copy is over, changes follow. */
export function copied(session: TransferSession): Promise<TransferFacts> {
  return until(
    'copied',
    () => session.observe(),
    ({ forward }) => forward.kind === 'Streaming',
  );
}

export function caughtUp(session: TransferSession): Promise<TransferFacts> {
  return until(
    'caught up',
    () => session.observe(),
    ({ forward, back }) =>
      [forward, back].every(
        stream => stream.kind === 'Streaming' && stream.connected && stream.lagBytes < 100_000,
      ),
  );
}

export async function switchReaders(pair: Pair, session: TransferSession, to: End): Promise<void> {
  const change = pair.switchTo('read', to);
  await session.openReaders(change);
  pair.publish(change);
  await ensureBoth(pair);
  await session.closeReaders(change);
}

/** Tries again as a controller would, until it is decided. */
export async function switchWriters(
  pair: Pair,
  session: TransferSession,
  to: End,
  within: FenceLimits = limits,
): Promise<FenceResult> {
  const change = pair.switchTo('write', to);
  const result = await until(
    'fenced',
    () => session.fence(change, within),
    ({ kind }) => kind === 'Fenced',
  );
  pair.publish(change);
  await ensureBoth(pair);
  return result;
}

/** Both shards' controllers see the new map. */
export async function ensureBoth(pair: Pair): Promise<void> {
  for (const end of ends) await pair.ensureAccess(end);
}

/** Nobody is left with the generations before. */
export async function allClosed(session: TransferSession): Promise<void> {
  await until(
    'idle',
    () => session.closeSuperseded(),
    count => count === 0,
  );
}

export async function cleaned(session: TransferSession, loser: End | undefined): Promise<void> {
  await until(
    'clean',
    () => session.cleanUp(loser),
    done => done,
  );
}

export async function cleanAll(session: TransferSession, loser: End): Promise<void> {
  await cleaned(session, loser);
  const { ends: found } = await session.observe();
  expect([found.source.traces, found.target.traces]).toEqual([[], []]);
}
