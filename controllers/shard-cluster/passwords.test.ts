import { describe, expect, test } from 'vitest';
import { verifies } from '#engines/scram.ts';
import {
  DISTRIBUTION_MS,
  decidePasswords,
  type PasswordFacts,
  type PasswordPlan,
  rotationAnnotations,
} from './passwords.ts';

/** Random, but the same in every run. */
function deterministic() {
  let n = 0;
  return (size: number) => Buffer.alloc(size, ++n);
}

const start = new Date('2026-01-01T00:00:00Z');
const nothing: PasswordFacts = {
  internal: undefined,
  app: undefined,
  appAnnotations: {},
  published: { database: 'social' },
  requested: undefined,
  versionInForce: undefined,
  now: start,
};

/** The facts after the plan was written. */
function after(facts: PasswordFacts, plan: PasswordPlan, over: Partial<PasswordFacts> = {}): PasswordFacts {
  return {
    ...facts,
    internal: plan.internal ?? facts.internal,
    app: plan.app?.fields ?? facts.app,
    appAnnotations: plan.app?.annotations ?? facts.appAnnotations,
    ...over,
  };
}

describe('passwords', () => {
  test('are all made at first, each another, and their verifiers fit', () => {
    const plan = decidePasswords(nothing, deterministic());
    const { internal = {}, app } = plan;
    const secrets = ['superuser', 'replication', 'rest'].map(name => internal[name]);
    secrets.push(app?.fields['password'], app?.fields['reference-password'], app?.fields['map-token']);
    expect(new Set(secrets).size).toBe(secrets.length);
    for (const secret of secrets) expect(secret).toMatch(/^[\w-]{32}$/);
    expect(verifies(internal['app-verifier'] ?? '', app?.fields['password'] ?? '')).toBe(true);
    expect(verifies(internal['reference-verifier'] ?? '', app?.fields['reference-password'] ?? '')).toBe(
      true,
    );
  });

  test('stay as they are', () => {
    const random = deterministic();
    const plan = decidePasswords(nothing, random);
    const again = decidePasswords(after(nothing, plan), random);
    expect(again).toEqual({ version: plan.version, rotating: false });
  });

  test('what a person chose is kept, and what was damaged is completed', () => {
    const plan = decidePasswords({ ...nothing, app: { password: 'mine' } }, deterministic());
    expect(plan.app?.fields['password']).toBe('mine');
    expect(plan.app?.fields['map-token']).toBeTruthy();
  });

  test('are rotated in three steps, each of which may be repeated', () => {
    const random = deterministic();
    const created = decidePasswords(nothing, random);
    const idle = after(nothing, created, { versionInForce: created.version });

    const begin = decidePasswords({ ...idle, requested: 'one' }, random);
    expect(begin.version).toBe(created.version);
    expect(begin.app?.fields['password']).toBe(created.app?.fields['password']);
    const next = begin.app?.fields['next-password'] ?? '';
    expect(next).toMatch(/^[\w-]{32}$/);
    expect(begin.internal?.['superuser']).not.toBe(created.internal?.['superuser']);

    const early = after(idle, begin, {
      requested: 'one',
      now: new Date(start.getTime() + DISTRIBUTION_MS - 1),
    });
    expect(decidePasswords(early, random)).toEqual({ version: created.version, rotating: true, againMs: 1 });

    const due = { ...early, now: new Date(start.getTime() + DISTRIBUTION_MS) };
    const handOut = decidePasswords(due, random);
    expect(handOut.version).not.toBe(created.version);
    expect(verifies(handOut.internal?.['app-verifier'] ?? '', next)).toBe(true);
    expect(handOut.app).toBeUndefined();

    // Until every shard has it, both passwords stay.
    const waiting = after(due, handOut);
    expect(decidePasswords(waiting, random)).toEqual({ version: handOut.version, rotating: true });
    expect(decidePasswords({ ...waiting, versionInForce: undefined }, random).app).toBeUndefined();

    const promote = decidePasswords({ ...waiting, versionInForce: handOut.version }, random);
    expect(promote).toMatchObject({ version: handOut.version, rotating: false });
    expect(promote.app?.fields['password']).toBe(next);
    expect(promote.app?.fields).not.toHaveProperty('next-password');
    expect(promote.app?.annotations).toEqual({ [rotationAnnotations.done]: 'one' });

    const done = after(waiting, promote, { versionInForce: handOut.version });
    expect(decidePasswords(done, random)).toEqual({ version: handOut.version, rotating: false });
    expect(decidePasswords({ ...done, requested: 'two' }, random).app?.fields).toHaveProperty(
      'next-password',
    );
  });

  test('a fleet that is made with a request has new passwords as it is', () => {
    const plan = decidePasswords({ ...nothing, requested: 'one' }, deterministic());
    expect(plan.app?.fields).not.toHaveProperty('next-password');
    expect(plan.app?.annotations).toEqual({ [rotationAnnotations.done]: 'one' });
  });
});
