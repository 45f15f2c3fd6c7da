import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { AuthorityKeyError, createAuthority, issueCertificate, type KeyPair, signerOf } from './authority.ts';
import { parseBundle, reissueReason } from './policies.ts';
import { type AuthorityFields, decideAuthority } from './rotation.ts';

const start = new Date('2026-01-01T00:00:00Z');
const day = 86_400_000;
const later = (days: number) => new Date(start.getTime() + days * day);
const names = ['social-0.default.svc', '*.social-0-members.default.svc', 'localhost'];

let authority: KeyPair;
let next: KeyPair;
let server: KeyPair;

beforeAll(async () => {
  authority = await createAuthority('social', start);
  next = await createAuthority('social', later(1));
  server = await issueCertificate(authority, names, start);
});

describe('certificates', () => {
  test('chain to the authority and carry every name', () => {
    const certificate = new X509Certificate(server.certificate);
    const issuer = new X509Certificate(authority.certificate);
    expect(certificate.checkIssued(issuer)).toBe(true);
    expect(certificate.verify(issuer.publicKey)).toBe(true);
    expect(issuer.ca).toBe(true);
    expect(certificate.ca).toBe(false);
    expect(certificate.checkHost('social-0.default.svc')).toBeTruthy();
    expect(certificate.checkHost('social-0-1.social-0-members.default.svc')).toBeTruthy();
    expect(certificate.checkHost('social-1.default.svc')).toBeUndefined();
  });

  test('two authorities of one fleet have different subjects: a verifier looks issuers up by them', () => {
    expect(new X509Certificate(authority.certificate).subject).not.toBe(
      new X509Certificate(next.certificate).subject,
    );
  });

  test('never outlive the authority', async () => {
    const short = await createAuthority('social', start, 10);
    const issued = await issueCertificate(short, names, start);
    expect(new X509Certificate(issued.certificate).validToDate).toEqual(
      new X509Certificate(short.certificate).validToDate,
    );
  });

  test('are for servers and for clients, each with a number of its own', async () => {
    const certificate = new X509Certificate(server.certificate);
    // Node gives the extended usages under this name.
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    const again = await issueCertificate(authority, names, start);
    expect(new X509Certificate(again.certificate).serialNumber).not.toBe(certificate.serialNumber);
    expect(certificate.checkPrivateKey(createPrivateKey(server.key))).toBe(true);
    expect(certificate.checkPrivateKey(createPrivateKey(again.key))).toBe(false);
  });

  test('hold many names, and a life beyond 2049', async () => {
    const many = Array.from({ length: 200 }, (_, i) => `member-${i}.a-rather-long-name.default.svc`);
    const longLived = await createAuthority('x'.repeat(100), new Date('2045-01-01T00:00:00Z'));
    const issued = await issueCertificate(longLived, many, new Date('2049-12-01T00:00:00Z'));
    const certificate = new X509Certificate(issued.certificate);
    expect(certificate.subjectAltName?.split(', ')).toEqual(many.map(name => `DNS:${name}`));
    expect(certificate.validToDate.toISOString()).toBe('2050-03-01T00:00:00.000Z');
    expect(certificate.checkIssued(new X509Certificate(longLived.certificate))).toBe(true);
  });

  test('are not signed with a key that cannot', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    await expect(signerOf({ ...authority, key })).rejects.toThrow(AuthorityKeyError);
  });

  const facts = () => ({
    certificate: server.certificate as string | undefined,
    key: server.key as string | undefined,
    dnsNames: names,
    issuer: authority.certificate,
    now: later(1),
  });

  test.each([
    ['good', {}, undefined],
    ['not there', { certificate: undefined }, 'Missing'],
    ['without its key', { key: undefined }, 'Missing'],
    ['garbage', { certificate: 'garbage' }, 'Unreadable'],
    ['one name fewer wanted', { dnsNames: names.slice(1) }, 'NamesDiffer'],
    ['one name more wanted', { dnsNames: [...names, 'more'] }, 'NamesDiffer'],
    ['past two thirds of its life', { now: later(61) }, 'Expiring'],
  ])('%s', (_what, over, reason) => {
    expect(reissueReason({ ...facts(), ...over })).toBe(reason);
  });

  test('of another issuer', () => {
    expect(reissueReason({ ...facts(), issuer: next.certificate })).toBe('IssuerDiffers');
  });
});

function kind(fields: AuthorityFields | undefined, now: Date, requested = false): string {
  return decideAuthority(fields, now, requested).kind;
}

describe('the authority', () => {
  test('is created once', () => {
    expect(kind(undefined, start)).toBe('Create');
    expect(kind({ 'ca.crt': authority.certificate, 'ca.key': authority.key }, later(100))).toBe('Keep');
  });

  test('is never replaced when damaged', () => {
    expect(kind({ 'ca.crt': 'garbage', 'ca.key': authority.key }, start)).toBe('Damaged');
    expect(kind({ 'ca.crt': authority.certificate }, start)).toBe('Damaged');
  });

  test('gets a successor in time, or when asked', () => {
    const fields = { 'ca.crt': authority.certificate, 'ca.key': authority.key };
    expect(kind(fields, later(2500))).toBe('AddNext');
    expect(kind(fields, later(1), true)).toBe('AddNext');
  });

  test('hands over once everybody had a day to learn of the successor, and is dropped when nothing it signed is valid', () => {
    const both = {
      'ca.crt': authority.certificate + next.certificate,
      'ca.key': authority.key,
      'next.key': next.key,
    };
    expect(kind(both, later(1.5))).toBe('Keep');
    const promote = decideAuthority(both, later(2.1), false);
    expect(promote).toMatchObject({ kind: 'Promote', key: next.key });
    if (promote.kind !== 'Promote') throw new Error('unreachable');
    expect(parseBundle(promote.bundle).map(String)).toEqual(
      [next.certificate, authority.certificate].map(pem => String(new X509Certificate(pem))),
    );

    const promoted = { 'ca.crt': promote.bundle, 'ca.key': promote.key };
    expect(kind(promoted, later(80))).toBe('Keep');
    // Asked again while the old one is still trusted: first things first.
    expect(kind(promoted, later(80), true)).toBe('Keep');
    const drop = decideAuthority(promoted, later(93), false);
    expect(drop.kind).toBe('DropOld');
    expect(parseBundle('bundle' in drop ? drop.bundle : '')).toHaveLength(1);
  });
});
