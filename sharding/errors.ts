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

/** A map is of a format that this version does not know. */
export class UnknownFormatError extends ShardingError {
  readonly code = 'UnknownFormat';
}

/** A delta does not lead to the sender's state: the receiver needs the whole map. */
export class DeltaMismatchError extends ShardingError {
  readonly code = 'DeltaMismatch';
}
