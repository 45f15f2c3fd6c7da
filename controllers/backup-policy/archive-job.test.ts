/** The Job of an archive: what it is told, and that it gets no more than it needs. */
import { expect, test } from 'vitest';
import { z } from 'zod';
import { archiveSettings, settingsVariable } from '#archive/settings.ts';
import { sampleShard } from '#engines/postgresql/testing/shard.ts';
import type { KubeObject } from '#kernel/object.ts';
import { type ArchiveImage, type ArchiveRequest, archiveJob } from './archive-job.ts';

const request: ArchiveRequest = {
  name: 'archive-20261121',
  archive: {
    tables: [{ name: 'messages', column: 'created_at', olderThan: '366d' }],
    format: 'parquet',
    deleteAfter: true,
    schedule: '0 1 * * *',
  },
  destination: {
    s3: {
      endpoint: 'https://s3.example:9000',
      bucket: 'backups',
      prefix: 'daily',
      region: 'us-east-1',
      credentials: { secretName: 's3' },
      ca: { secretName: 's3-ca', key: 'tls.crt' },
    },
  },
  path: 'daily/fleet/social/0a1b2c3d',
};
const image = { image: 'operator:1', imagePullPolicy: 'IfNotPresent', pullSecrets: [] } as const;

function jobWith(over: Partial<ArchiveImage> = {}): KubeObject {
  return archiveJob(sampleShard(), request, 'social-0.fleet.svc', { ...image, ...over });
}

const pod = z.object({
  volumes: z.array(z.object({ projected: z.object({ sources: z.unknown() }) })),
  containers: z.array(z.unknown()),
});
const shape = z.object({ spec: z.object({ template: z.object({ spec: pod }) }) });

function podOf(job: KubeObject): z.infer<typeof pod> {
  return shape.parse(job).spec.template.spec;
}

function containerOf(job: KubeObject): unknown {
  return podOf(job).containers[0];
}

test('it is told the tables with their ages in seconds, where the database is, and where files go', () => {
  const job = jobWith();
  const { env } = z
    .object({ env: z.tuple([z.object({ name: z.string(), value: z.string() })]) })
    .parse(containerOf(job));
  const [{ name, value }] = env;
  expect(name).toBe(settingsVariable);
  expect(archiveSettings.parse(JSON.parse(value))).toEqual({
    shard: 'social-0',
    database: { host: 'social-0.fleet.svc', serverName: 'social-0.fleet.svc', name: 'social' },
    store: {
      endpoint: 'https://s3.example:9000',
      bucket: 'backups',
      region: 'us-east-1',
      path: 'daily/fleet/social/0a1b2c3d',
    },
    tables: [{ name: 'messages', column: 'created_at', olderThanSeconds: 366 * 86_400 }],
    deleteAfter: true,
    secretsFolder: '/etc/shardwright/archive',
  });
});

test('a name with dollars reaches the program as it is, though Kubernetes makes one of two in a variable', () => {
  const archive = { ...request.archive, tables: [{ name: 'a$$b$(c)', column: 'at', olderThan: '1d' }] };
  const job = archiveJob(sampleShard(), { ...request, archive }, 'social-0.fleet.svc', image);
  const { env } = z
    .object({ env: z.tuple([z.object({ name: z.string(), value: z.string() })]) })
    .parse(containerOf(job));
  expect(env[0].value).not.toContain('$');
  expect(JSON.parse(env[0].value)).toMatchObject({ tables: [{ name: 'a$$b$(c)' }] });
});

test('of each Secret it gets the one key that it needs', () => {
  const [volume] = podOf(jobWith()).volumes;
  expect(volume?.projected.sources).toEqual([
    { secret: { name: 'social-internal', items: [{ key: 'superuser', path: 'database/superuser' }] } },
    { secret: { name: 'social-ca', items: [{ key: 'ca.crt', path: 'database-ca/ca.crt' }] } },
    { secret: { name: 's3', items: [{ key: 'access-key-id', path: 'store/access-key-id' }] } },
    { secret: { name: 's3', items: [{ key: 'secret-access-key', path: 'store/secret-access-key' }] } },
    { secret: { name: 's3-ca', items: [{ key: 'tls.crt', path: 'store-ca/ca.crt' }] } },
  ]);
});

test('nothing takes its pod for a member, and it has no access to the API server', () => {
  const text = JSON.stringify(jobWith());
  const [, template = ''] = text.split('"template":');
  expect(template).not.toContain('"shardwright.io/shard"');
  expect(template).toContain('"shardwright.io/task-of":"social-0"');
  expect(template).toContain('"automountServiceAccountToken":false');
  expect(template).not.toContain('serviceAccountToken');
});
