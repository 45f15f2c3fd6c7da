import { expect, test } from 'vitest';
import type { Repository } from '#engines/backup.ts';
import { sampleShard } from '../testing/shard.ts';
import { RepositorySettingError, repositoryFiles } from './repository.ts';

const repository: Repository = {
  path: 'prod/fleet/social/0123abcd',
  stanza: 'social-0',
  s3: {
    endpoint: 'https://s3.test:9000',
    bucket: 'backups',
    region: 'us-east-1',
    accessKeyId: 'AK1',
    secretAccessKey: 'SK1',
    ca: 'PEM',
  },
};
const meter = { rpoSeconds: 10, version: 'v1' };

function files(change: Partial<Repository> = {}): Readonly<Record<string, string>> {
  return repositoryFiles(sampleShard(), { ...repository, ...change }, meter);
}

test('the whole of the files, with a passphrase', () => {
  const { 'pgbackrest.conf': settings, ...others } = files({ passphrase: 'open sesame' });
  expect(settings).toMatchInlineSnapshot(`
    "[global]
    repo1-type=s3
    repo1-path=/prod/fleet/social/0123abcd
    repo1-s3-bucket=backups
    repo1-s3-region=us-east-1
    repo1-s3-key=AK1
    repo1-s3-key-secret=SK1
    repo1-s3-endpoint=s3.test
    repo1-s3-uri-style=path
    repo1-storage-port=9000
    repo1-storage-ca-file=/etc/shardwright/backup/store-ca.crt
    repo1-retention-full-type=count
    repo1-retention-full=9999999
    repo1-cipher-type=aes-256-cbc
    repo1-cipher-pass=open sesame
    lock-path=/tmp/pgbackrest/lock
    spool-path=/tmp/pgbackrest/spool
    log-path=/tmp/pgbackrest/log
    log-level-file=off
    log-level-console=off
    log-level-stderr=warn
    log-timestamp=n
    compress-type=zst
    start-fast=y
    tls-server-address=*
    tls-server-port=8432
    tls-server-ca-file=/etc/shardwright/tls/ca.crt
    tls-server-cert-file=/etc/shardwright/tls/tls.crt
    tls-server-key-file=/etc/shardwright/tls/tls.key
    tls-server-auth=social-0.fleet.svc=social-0

    [global:archive-push]
    io-timeout=5

    [social-0]
    pg1-path=/var/lib/postgresql/data
    pg1-socket-path=/run/postgresql
    "
  `);
  expect(others).toMatchInlineSnapshot(`
    {
      "policy.json": "{"stanza":"social-0","rpoSeconds":10,"version":"v1"}
    ",
      "stanza": "social-0",
      "store-ca.crt": "PEM",
    }
  `);
});

test('Amazon’s own store is asked at its region, by host and with the system’s authorities', () => {
  const { accessKeyId, secretAccessKey, bucket } = repository.s3;
  const made = files({ s3: { accessKeyId, secretAccessKey, bucket, region: 'eu-west-1' } });
  expect(made['pgbackrest.conf']).toContain('repo1-s3-endpoint=s3.eu-west-1.amazonaws.com\n');
  expect(made['pgbackrest.conf']).not.toMatch(/uri-style|storage-ca-file|storage-port|cipher/);
  expect(made).not.toHaveProperty('store-ca.crt');
});

test.each([
  ['a second line', { secretAccessKey: 'one\nrepo1-path=/other' }],
  ['a return', { secretAccessKey: 'one\rtwo' }],
  ['nothing', { accessKeyId: '' }],
  ['a blank at the end', { bucket: 'backups ' }],
  ['a store without TLS', { endpoint: 'http://s3.test' }],
  ['a path', { endpoint: 'https://s3.test/backups' }],
  ['no URL', { endpoint: 's3.test' }],
])('%s is refused, and a secret not shown', (_, change) => {
  const make = () => files({ s3: { ...repository.s3, ...change } });
  expect(make).toThrow(RepositorySettingError);
  expect(make).not.toThrow(/two|other/);
});
