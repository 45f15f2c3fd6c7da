import { describe, expect, it } from 'vitest';
import { contains } from '#kernel/contains.ts';

const pod = {
  metadata: { labels: { a: '1', injected: 'x' }, finalizers: ['theirs', 'ours'] },
  spec: {
    restartPolicy: 'Always',
    containers: [
      { name: 'sidecar', image: 's' },
      {
        name: 'main',
        image: 'i:1',
        args: ['-c', '2'],
        ports: [{ containerPort: 5432, protocol: 'TCP', name: 'pg' }],
        env: [
          { name: 'A', value: '1' },
          { name: 'B', value: '2' },
        ],
      },
    ],
    tolerations: [{ key: 'k', operator: 'Exists', effect: 'NoExecute' }],
  },
};

function main(container: object) {
  return { spec: { containers: [{ name: 'main', ...container }] } };
}

describe('holds', () => {
  it.each([
    ['fields among defaults and others', { metadata: { labels: { a: '1' } } }],
    ['an element of a merged list, wherever it stands', main({ image: 'i:1' })],
    ['a port by its number', main({ ports: [{ containerPort: 5432, name: 'pg' }] })],
    ['environment without what others added', main({ env: [{ name: 'B', value: '2' }] })],
    ['an own finalizer among others', { metadata: { finalizers: ['ours'] } }],
    ['an atomic list with defaults inside', { spec: { tolerations: [{ key: 'k', operator: 'Exists' }] } }],
    ['what the server leaves out as empty', { spec: { nodeSelector: {}, hostNetwork: false, volumes: [] } }],
    ['undefined, which is no field', { spec: { restartPolicy: undefined } }],
  ])('%s', (_name, intent) => {
    expect(contains(pod, intent)).toBe(true);
  });
});

describe('differs', () => {
  it.each([
    ['a changed value', main({ image: 'i:2' })],
    ['a missing label', { metadata: { labels: { b: '1' } } }],
    ['a missing element', { spec: { containers: [{ name: 'other' }] } }],
    ['an argument that was added to an atomic list', main({ args: ['-c'] })],
    ['an argument in another place', main({ args: ['2', '-c'] })],
    ['a port with another protocol', main({ ports: [{ containerPort: 5432, protocol: 'UDP' }] })],
    ['an atomic list grown by another hand', { spec: { tolerations: [] } }],
    ['another type', { spec: { restartPolicy: { a: 1 } } }],
    ['a finalizer that is gone', { metadata: { finalizers: ['gone'] } }],
  ])('%s', (_name, intent) => {
    expect(contains(pod, intent)).toBe(false);
  });
});

it('compares atomic lists whole, also lists inside them that merge elsewhere', () => {
  const live = { ingress: [{ ports: [{ port: 5432 }, { port: 22 }] }] };
  expect(contains(live, { ingress: [{ ports: [{ port: 5432 }] }] })).toBe(false);
});

it('takes selectors whole: one more label in them selects something else', () => {
  const selector = { shard: 'a', role: 'replica' };
  expect(contains({ spec: { selector: { role: 'replica', shard: 'a' } } }, { spec: { selector } })).toBe(
    true,
  );
  expect(contains({ spec: { selector: { ...selector, app: 'mine' } } }, { spec: { selector } })).toBe(false);
  expect(
    contains(
      { spec: { podSelector: { matchLabels: { ...selector, app: 'mine' } } } },
      { spec: { podSelector: { matchLabels: selector } } },
    ),
  ).toBe(false);
});
