/** Reads what Jobs of a recovery tell: what does not fit is no report. */
import { inflateSync } from 'node:zlib';
import { z } from 'zod';
import { annotations } from '#crds/api/names.ts';
import type { CatalogReport, RecoveryReport } from '#engines/recovery.ts';
import type { KubeObject } from '#kernel/object.ts';
import { foundShard } from './found.ts';

const time = z.iso.datetime({ offset: true });
const line = z.string().transform(text => text.replaceAll(/\s+/g, ' ').slice(0, 1024));
const state = z.enum(['Running', 'Succeeded', 'Failed']);
/** A store that somebody else has written to must not fill the memory of whoever reads the report. */
const LONGEST = 32 * 1024 * 1024;

function packed<S extends z.ZodType>(content: S) {
  return z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(inflateSync(Buffer.from(text, 'base64'), { maxOutputLength: LONGEST }).toString());
      } catch {
        context.addIssue({ code: 'custom', message: 'is not packed as it should be' });
        return z.NEVER;
      }
    })
    .pipe(content);
}

const about = z.object({
  ordinal: z.int().min(0),
  region: z.string().exactOptional(),
  algorithm: z.string(),
  keyType: z.string(),
  slots: z.int(),
});

const storedShard = z.object({
  ordinal: z.int().min(0),
  stanza: z.string(),
  since: time,
  until: time,
  about: about.exactOptional(),
  version: z.string(),
  databaseBytes: z.number().min(0),
});

const catalog = z.object({
  kind: z.literal('Catalog'),
  request: z.string(),
  at: time,
  state,
  failure: line.exactOptional(),
  incarnations: packed(z.array(z.object({ id: z.string(), shards: z.array(storedShard) }))).exactOptional(),
});

const recovery = z.object({
  kind: z.literal('Recovery'),
  request: z.string(),
  at: time,
  state,
  steps: z.array(z.object({ name: z.enum(['Fetch', 'Recover', 'Prepare']), seconds: z.number().min(0) })),
  bytes: z.number().min(0).exactOptional(),
  failure: line.exactOptional(),
  result: z
    .object({
      systemIdentifier: z.string().regex(/^[0-9]{1,20}$/),
      lastCommit: time.exactOptional(),
      found: packed(foundShard),
    })
    .exactOptional(),
});

const report = z.discriminatedUnion('kind', [catalog, recovery]);

export function parseReport(job: KubeObject): CatalogReport | RecoveryReport | undefined {
  const text = job.metadata.annotations?.[annotations.report];
  return text === undefined ? undefined : parseReportText(text);
}

export function parseReportText(text: string): CatalogReport | RecoveryReport | undefined {
  try {
    const parsed = report.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
