/**
 * A fleet's own certificate authority: ECDSA P-256, PEM in and out. Nothing here touches a cluster or a clock; `now` is
 * always given. Private keys leave a function only as the `key` of its result, which belongs in a Secret.
 */
// The X.509 library resolves its parts through it and refuses to load without.
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
/** The same in each certificate: encoding them takes a share of its time. */
const SERVER_EXTENSIONS = [
  new BasicConstraintsExtension(false, undefined, true),
  new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
  new ExtendedKeyUsageExtension([SERVER_AUTH, CLIENT_AUTH]),
];
const DAY_MS = 86_400_000;

/** Clocks of clients may be behind by this much and still accept a new certificate. */
const BACKDATE_MS = 300_000;

export const AUTHORITY_LIFETIME_DAYS = 3650;
export const CERTIFICATE_LIFETIME_DAYS = 90;

/** A certificate and its private key (PKCS #8), both PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/**
 * Every authority gets a subject of its own (the second it was made in): during a rotation two are trusted at once, and a
 * verifier that looks an issuer up by name would try the wrong key.
 */
export async function createAuthority(
  commonName: string,
  now: Date,
  lifetimeDays: number = AUTHORITY_LIFETIME_DAYS,
): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [`${commonName.slice(0, 40)} ${now.toISOString().slice(0, 19)}Z`] }],
    notBefore: new Date(now.getTime() - BACKDATE_MS),
    notAfter: new Date(now.getTime() + lifetimeDays * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(certificate.toString('pem')), key: await exportKey(keys.privateKey) };
}

/** An authority that is ready to sign; to be kept where it signs many. */
export interface Signer {
  readonly certificate: X509Certificate;
  readonly signingKey: webcrypto.CryptoKey;
  readonly keyIdentifier: AuthorityKeyIdentifierExtension;
}

/** The authority's key cannot sign what is to be signed. */
export class AuthorityKeyError extends Error {
  override readonly name = 'AuthorityKeyError';
  readonly code = 'AuthorityKey';
  readonly remedy = 'Put an ECDSA key on the curve P-256 (PKCS #8) and its certificate into the Secret.';
}

/** Throws {@link AuthorityKeyError}, and what the library throws for a certificate that cannot be read. */
export async function signerOf(authority: KeyPair): Promise<Signer> {
  const certificate = new X509Certificate(authority.certificate);
  const keyIdentifier = await AuthorityKeyIdentifierExtension.create(certificate.publicKey);
  try {
    const signingKey = await webcrypto.subtle.importKey(
      'pkcs8',
      PemConverter.decodeFirst(authority.key),
      ALGORITHM,
      false,
      ['sign'],
    );
    return { certificate, signingKey, keyIdentifier };
  } catch (cause) {
    throw new AuthorityKeyError("the authority's key is not ECDSA on P-256", { cause });
  }
}

/** A certificate for a server that also authenticates itself to its peers (Patroni's REST API). */
export async function issueCertificate(
  authority: KeyPair,
  dnsNames: readonly string[],
  now: Date,
  lifetimeDays: number = CERTIFICATE_LIFETIME_DAYS,
): Promise<KeyPair> {
  return issueWith(await signerOf(authority), dnsNames, now, lifetimeDays);
}

export async function issueWith(
  { certificate: issuer, signingKey, keyIdentifier }: Signer,
  dnsNames: readonly string[],
  now: Date,
  lifetimeDays: number = CERTIFICATE_LIFETIME_DAYS,
): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const expiry = Math.min(now.getTime() + lifetimeDays * DAY_MS, issuer.notAfter.getTime());
  const certificate = await X509CertificateGenerator.create({
    // A common name is bounded at 64 characters and no client reads it: the alternative names are what counts.
    subject: [{ CN: [(dnsNames[0] ?? 'server').slice(0, 64)] }],
    issuer: issuer.subject,
    notBefore: new Date(now.getTime() - BACKDATE_MS),
    notAfter: new Date(expiry),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      ...SERVER_EXTENSIONS,
      new SubjectAlternativeNameExtension(dnsNames.map(value => ({ type: 'dns', value }))),
      keyIdentifier,
    ],
  });
  return { certificate: pem(certificate.toString('pem')), key: await exportKey(keys.privateKey) };
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return pem(PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), PemConverter.PrivateKeyTag));
}

function pem(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
