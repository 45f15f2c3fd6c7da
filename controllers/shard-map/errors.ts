/** What keeps a map from being written. A lost compare-and-swap is the kernel's ConflictError: try again. */

/** The map came to be meanwhile: the cache is behind. Look again shortly. */
export class MapExistsError extends Error {
  override readonly name = 'MapExistsError';
  readonly code = 'MapExists';
  readonly remedy = 'None is needed: the next pass sees the map.';
}

/** Somebody else is changing the map. */
export class MapBusyError extends Error {
  override readonly name = 'MapBusyError';
  readonly code = 'MapBusy';
  readonly remedy = 'Wait until that change is done.';
  /** The mark of whoever it is. */
  readonly by: string;

  constructor(cluster: string, by: string) {
    super(`the shard map of ${cluster} is being changed by ${by}`);
    this.by = by;
  }
}

/** There is no map that could be changed: it was not made yet, or it is lost or damaged. */
export class MapUnavailableError extends Error {
  override readonly name = 'MapUnavailableError';
  readonly code = 'MapUnavailable';
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}
