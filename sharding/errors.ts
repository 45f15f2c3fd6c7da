/** Every error of the sharding library has a code to match on and a remedy for the person who reads it. */
export abstract class ShardingError extends Error {
  abstract readonly code: string;
  readonly remedy: string;

  constructor(message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.remedy = remedy;
  }
}

/** A key is not of the map's key type: routing it would disagree with the database. */
export class InvalidKeyError extends ShardingError {
  readonly code = 'InvalidKey';
}

/** The input of a new map, or a change to one, contradicts itself. */
export class InvalidChangeError extends ShardingError {
  readonly code = 'InvalidChange';
}

/** A stored or received map is damaged: a page is missing, cut off, or breaks an invariant. */
export class DamagedMapError extends ShardingError {
  readonly code = 'DamagedMap';
}

/** The pages are in the middle of a change: some are old, some new. Never a map to route by. */
export class MapInTransitionError extends ShardingError {
  readonly code = 'MapInTransition';
}

/** An operation cannot be carried out on this map; nothing is wrong with the map. `reason` is fit for a condition. */
export class PlanError extends ShardingError {
  readonly code = 'Plan';
  readonly reason: PlanProblem;

  constructor(reason: PlanProblem, message: string, remedy: string) {
    super(message, remedy);
    this.reason = reason;
  }
}

export type PlanProblem =
  | 'NoSuchShard'
  | 'ShardNotActive'
  | 'ShardInTransition'
  | 'NothingToMove'
  | 'TooFewParts'
  | 'NoEmptyShard'
  | 'TargetNotEmpty'
  | 'UselessSplitPoint'
  | 'OtherRegion'
  | 'OverlappingRanges'
  | 'NoSuchSlots'
  | 'NotOwned'
  | 'ShardsNotLowered'
  | 'HomeOfReferenceTables'
  | 'NotWithThisAlgorithm';

/** A map is of a format that this version does not know. */
export class UnknownFormatError extends ShardingError {
  readonly code = 'UnknownFormat';
}

/** A delta does not lead to the sender's state: the receiver needs the whole map. */
export class DeltaMismatchError extends ShardingError {
  readonly code = 'DeltaMismatch';
}
