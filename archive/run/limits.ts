/** How much is in memory at once, and in one statement. */
export interface Limits {
  /** Rows and bytes (as the server sends them) of one file, and of one row group of it. A single row may be larger. */
  readonly fileRows: number;
  readonly fileBytes: number;
  readonly groupRows: number;
  readonly groupBytes: number;
  /** Rows that one statement deletes. */
  readonly deleteRows: number;
}

export const realLimits: Limits = {
  fileRows: 1_000_000,
  fileBytes: 64 * 2 ** 20,
  groupRows: 50_000,
  groupBytes: 8 * 2 ** 20,
  deleteRows: 1000,
};
