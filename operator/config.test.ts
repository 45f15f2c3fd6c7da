import { expect, test } from 'vitest';
import { ConfigError, parseConfig } from './config.ts';
import { enableCommand, mapUrl } from './controllers.ts';

test('every variable has a default', () => {
  expect(parseConfig({})).toMatchObject({ leaderElection: true, workers: { shards: 32 }, resyncMs: 600_000 });
});

test.each([
  ['CONCURRENCY_SHARDS', '0'],
  ['RESYNC_SECONDS', 'soon'],
  ['LOG_LEVEL', 'loud'],
  ['POD_LABELS', '[1]'],
  ['POD_LABELS', 'not json'],
  ['OPERATOR_IMAGE_PULL_SECRETS', '{"name":"registry"}'],
  ['OPERATOR_IMAGE_PULL_POLICY', 'Sometimes'],
  ['MAP_PORT', '70000'],
  ['LEADER_ELECTION', 'maybe'],
])('%s=%s is refused, and named', (name, value) => {
  expect(() => parseConfig({ [name]: value })).toThrow(ConfigError);
  expect(() => parseConfig({ [name]: value })).toThrow(name);
});

test('the command that lets the operator into a namespace names the objects of the chart', () => {
  const config = parseConfig({ POD_NAMESPACE: 'system', SERVICE_NAME: 'shardwright' });
  expect(enableCommand(config, 'team-a')).toBe(
    'kubectl create rolebinding shardwright --namespace=team-a --clusterrole=shardwright-namespaced --serviceaccount=system:shardwright',
  );
  expect(mapUrl(config)).toBe('https://shardwright.system.svc');
  expect(mapUrl({ ...config, mapServicePort: 8443 })).toBe('https://shardwright.system.svc:8443');
});
