/** A failure that a person can do something about: what went wrong, and what to do next. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
  readonly code: SetupErrorCode;
  readonly remedy: string;

  constructor(code: SetupErrorCode, message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.remedy = remedy;
  }
}

export type SetupErrorCode =
  | 'CommandFailed'
  | 'CommandMissing'
  | 'NotRoot'
  | 'NoPackageManager'
  | 'NoGo'
  | 'DiskFull'
  | 'PortInUse'
  | 'EngineFailed'
  | 'ClusterFailed'
  | 'CannotLoadImages'
  | 'Locked'
  | 'FleetNotReady'
  | 'BackupFailed'
  | 'AnswersDiffer'
  | 'SplitFailed';
