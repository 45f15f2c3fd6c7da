/** Reads what pods tell: it is another program's text, perhaps of another version, so what does not fit is no report. */
import { z } from 'zod';
import { annotations } from '#crds/api/names.ts';
import type { BackupReport } from '#engines/backup.ts';
import type { KubeObject } from '#kernel/object.ts';

const time = z.iso.datetime({ offset: true });
const line = z.string().transform(text => text.replaceAll(/\s+/g, ' ').slice(0, 1024));
const count = z.number().min(0);
const state = z.enum(['Running', 'Succeeded', 'Failed']);
const type = z.enum(['full', 'differential', 'incremental']);

const archive = z.object({
  kind: z.literal('Archive'),
  at: time,
  settingsVersion: z.string(),
  rpoSeconds: count,
  continuity: z.enum(['Verified', 'Unverified', 'Broken']),
  timeline: count,
  archivedTo: z.string().exactOptional(),
  transferSeconds: count.exactOptional(),
  objects: count,
  bytes: count,
  failure: line.exactOptional(),
});

const record = z.object({
  label: z.string(),
  type,
  started: time,
  stopped: time,
  databaseBytes: count,
  storedBytes: count,
  prior: z.string().exactOptional(),
  error: z.boolean(),
});

const backup = z.object({
  kind: z.literal('Backup'),
  request: z.string(),
  at: time,
  state,
  type,
  doneBytes: count.exactOptional(),
  totalBytes: count.exactOptional(),
  failure: line.exactOptional(),
  records: z.array(record).exactOptional(),
});

const drill = z.object({
  kind: z.literal('Drill'),
  request: z.string(),
  at: time,
  state,
  steps: z.array(z.object({ name: z.enum(['Start', 'Fetch', 'Recover', 'Check']), seconds: count })),
  rtoSeconds: count.exactOptional(),
  rpoSeconds: count.exactOptional(),
  bytes: count.exactOptional(),
  checks: z.array(z.object({ name: z.string(), passed: z.boolean(), message: line })),
  failure: line.exactOptional(),
});

const report = z.discriminatedUnion('kind', [archive, backup, drill]);

export function parseReport(object: KubeObject): BackupReport | undefined {
  const text = object.metadata.annotations?.[annotations.report];
  return text === undefined ? undefined : parseReportText(text);
}

export function parseReportText(text: string): BackupReport | undefined {
  try {
    const parsed = report.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
