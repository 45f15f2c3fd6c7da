/**
 * The judgement of one row from four looks, in this order: at the follower, at the leader, then - when everything that was
 * committed at the leader by then has arrived - at the follower again and at the leader again.
 *
 * A follower that lags, or runs ahead, shows other content for a moment. It differs for good only if the row stood still at one
 * end across the looks at the other: a version of a row is known by its place and its transaction, so content that went away
 * and came back is not mistaken for standing still.
 *
 * "Ahead": a commit is sent before it is visible, and under synchronous replication much before. So a difference counts only if,
 * before each look at the leader, the transactions that had been writing by the look at the follower had ended.
 */

/** A row as one statement saw it; undefined where it was not. */
export interface Look {
  /** Same exactly while the row is not written. */
  readonly version: string;
  readonly hash: string;
}

export interface Looks {
  readonly follower: readonly [Look | undefined, Look | undefined];
  readonly leader: readonly [Look | undefined, Look | undefined];
}

/** `open`: it moved; look again. */
export type Judgement = 'equal' | 'differs' | 'open';

export function judge({ follower: [before, after], leader: [first, second] }: Looks): Judgement {
  if (after?.hash === first?.hash || after?.hash === second?.hash) return 'equal';
  // The leader's stood still from before the arrival until after the look at the follower.
  if (first && first.version === second?.version) return 'differs';
  // The follower's stood still although everything that the leader's first look saw has arrived meanwhile.
  if (before && before.version === after?.version) return 'differs';
  return 'open';
}
