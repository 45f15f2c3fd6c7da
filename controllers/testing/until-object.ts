/** Waiting for what a controller says of an object. */
import { eventually } from '#hack/api-test.ts';

interface Telling {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly status?: unknown;
}

/** Reads an object again and again until this holds of it; fails with what it said of itself last. */
export async function untilObject<T extends Telling>(
  what: string,
  read: () => Promise<T>,
  holds: (found: T) => boolean,
  withinMs = 45_000,
): Promise<T> {
  let last: T | undefined;
  try {
    return await eventually(async () => {
      last = await read();
      return holds(last) ? last : undefined;
    }, withinMs);
  } catch (cause) {
    const said = { annotations: last?.metadata.annotations, status: last?.status };
    throw new Error(`${what} did not come true: ${JSON.stringify(said, undefined, 1)}`, { cause });
  }
}
