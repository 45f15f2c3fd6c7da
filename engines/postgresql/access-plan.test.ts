import { expect, test } from 'vitest';
import type { AccessInput } from '#engines/engine.ts';
import type { AccessFacts } from './access-facts.ts';
import { planAccess } from './access-plan.ts';

const access = (changes: Partial<AccessInput> = {}): AccessInput => ({
  generation: 1,
  readerGeneration: 1,
  state: 'active',
  partition: { kind: 'slots', slots: 256, ranges: [] },
  tables: [
    { name: 'users', reference: false },
    { name: 'countries', reference: true },
  ],
  verifier: 'V1',
  referenceVerifier: 'V2',
  stableLogin: false,
  ...changes,
});
const empty: AccessFacts = {
  database: 'DATABASE social',
  roles: {},
  relations: [
    { object: 'TABLE public.users', name: 'public.users', kind: 'table' },
    { object: 'TABLE public.countries', name: 'public.countries', kind: 'table' },
    { object: 'TABLE public.notes', name: 'public.notes', kind: 'table' },
  ],
  schemas: ['SCHEMA public'],
  grants: [],
  own: {},
  referenceTables: [],
  home: false,
  kept: [],
};
const grantsOf = (changes: Partial<AccessInput>, login: string) =>
  planAccess(access(changes), empty, false)
    .steps.map(({ sql }) => sql)
    .filter(
      sql => sql.startsWith('GRANT') && sql.endsWith(`TO "${login}"`) && sql.includes('ON TABLE public'),
    );

test('writers write what the fleet declares as sharded, and only read the rest', () => {
  expect(grantsOf({}, 'app_g1')).toEqual([
    'GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE public.users TO "app_g1"',
    'GRANT SELECT ON TABLE public.countries TO "app_g1"',
    'GRANT SELECT ON TABLE public.notes TO "app_g1"',
  ]);
});

test('readonly leaves reading, maintenance nothing', () => {
  expect(grantsOf({ state: 'readonly' }, 'app_g1')).toEqual(
    grantsOf({}, 'app_ro_g1').map(sql => sql.replace('app_ro_g1', 'app_g1')),
  );
  expect(grantsOf({ state: 'maintenance' }, 'app_g1')).toEqual([]);
  expect(grantsOf({ state: 'maintenance' }, 'app_ro_g1')).toEqual([]);
});

test('closes and drops logins of other generations, and a stable one that nobody asked for', () => {
  const role = { login: true, verifier: 'V1', settings: [], memberOf: [] };
  const facts = {
    ...empty,
    roles: { app_g1: role, app_ro_g1: role, app: role, app_store: role, postgres: role },
  };
  const plan = planAccess(access({ generation: 2 }), facts, false);
  expect(plan.dropped).toEqual(['app_g1', 'app']);
  expect(plan.fenced).toEqual(['app_g1', 'app']);
  expect(plan.steps.map(({ says }) => says)).toContain('closed login app_g1');
});

test('leaves logins alone that a transfer keeps: one ahead of the map gets its rights, one that is closing its time', () => {
  const role = { login: true, verifier: 'V1', settings: [], memberOf: [] };
  const roles = { app_g1: role, app_g2: role, app_g0: { ...role, login: false }, app_g3: role };
  const kept = ['app_g2', 'app_g0'];
  const plan = planAccess(
    access({ generation: 1 }),
    { ...empty, roles, kept, own: { app_g2: {}, app_g3: {} } },
    false,
  );
  expect(plan.dropped).toEqual(['app_g3']);
  const statements = plan.steps.map(({ sql }) => sql);
  expect(statements).toContain('GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE public.users TO "app_g2"');
  expect(statements.filter(sql => /own.*app_g2/.test(sql))).toEqual([]);
  expect(statements.filter(sql => sql.includes('app_g0'))).toEqual([]);
});

test('a login that nobody opened ahead sees what the one before it saw', () => {
  const role = { login: true, verifier: 'V1', settings: [], memberOf: [] };
  const roles = { app_g1: role, app_g2: role, app_ro_g5: role };
  const { steps } = planAccess(access({ generation: 4 }), { ...empty, roles }, false);
  const created = steps.find(({ says }) => says === 'created login app_g4')?.sql;
  expect(created).toContain("SELECT 'app_g4', transfer FROM shardwright.visible");
  expect(created).toContain("role = 'app_g2'");
});

test('takes from everybody what a fenced login would otherwise have', () => {
  const grants = [{ object: 'TABLE public.users', grantee: 'PUBLIC', privilege: 'UPDATE' }];
  const { steps } = planAccess(access(), { ...empty, grants }, false);
  expect(steps.map(({ sql }) => sql)).toContain('REVOKE UPDATE ON TABLE public.users FROM PUBLIC');
});

test('says what it does without a verifier', () => {
  const { steps } = planAccess(access({ verifier: 'SCRAM-1', referenceVerifier: 'SCRAM-2' }), empty, true);
  expect(steps.some(({ sql }) => sql.includes('SCRAM-1'))).toBe(true);
  expect(steps.filter(({ says }) => says.includes('SCRAM'))).toEqual([]);
});

test('quotes what comes from outside', () => {
  const evil = "x'); DROP TABLE users; --";
  const { steps } = planAccess(access({ verifier: evil, partition: { name: evil } }), empty, false);
  for (const { sql } of steps.filter(step => step.sql.includes('DROP TABLE')))
    expect(sql).toContain("x''); DROP TABLE users");
});
