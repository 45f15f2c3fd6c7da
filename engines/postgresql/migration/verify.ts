/**
 * Compares what both ends hold of a transfer, by hash, while both go on.
 */
import type { Transfer, Verification } from '#engines/migration.ts';
import type { LookedAtEnds } from './preflight.ts';

export async function verify(
  _ends: LookedAtEnds,
  _transfer: Transfer,
  _stream: 'forward' | 'back',
  _mode: 'Full' | 'Sample',
): Promise<Verification> {
  throw new Error('follows');
}
