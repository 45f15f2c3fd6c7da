/** The border between what the API server returns and what the code trusts. */
import { z } from 'zod';

/** An object that does not fit its schema: written past the CRD, or by another version of it. */
export class InvalidObjectError extends Error {
  readonly code = 'InvalidObject';
  readonly remedy: string;
  /** One `path: problem` line for each thing that is wrong. */
  readonly problems: readonly string[];

  constructor(kind: string, name: string, cause: z.ZodError) {
    const problems = cause.issues.map(issue => `${issue.path.map(String).join('.')}: ${issue.message}`);
    super(`${kind} ${name} does not fit its schema: ${problems.join('; ')}`, { cause });
    this.name = 'InvalidObjectError';
    this.problems = problems;
    this.remedy = `apply the CustomResourceDefinitions of this release, then correct ${kind} ${name}`;
  }
}

const named = z.object({ metadata: z.object({ name: z.string() }) });

/** Parses with defaults filled in; fields that the schema does not know are left out. Throws {@link InvalidObjectError}. */
export function parseObject<S extends z.ZodType>(kind: string, schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const name = named.safeParse(value);
  throw new InvalidObjectError(kind, name.success ? name.data.metadata.name : '(no name)', result.error);
}
