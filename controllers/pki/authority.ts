/**
 * A fleet's own certificate authority: ECDSA P-256, PEM in and out. Nothing here touches a cluster or a clock; `now` is
 * always given. Private keys leave a function only as the `key` of its result, which belongs in a Secret.
 */
import { createPrivateKey, generateKeyPair, type KeyObject, X509Certificate } from 'node:crypto';
import { promisify } from 'node:util';
import {
  authorityExtensions,
  commonName,
  type Issuer,
  issuerOf,
  serverExtensions,
  signCertificate,
} from './certificate.ts';

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

/** The authority's key cannot sign what is to be signed. */
export class AuthorityKeyError extends Error {
  override readonly name = 'AuthorityKeyError';
  readonly code = 'AuthorityKey';
  readonly remedy = 'Put an ECDSA key on the curve P-256 (PKCS #8) and its certificate into the Secret.';
}

/**
 * Every authority gets a subject of its own (the second it was made in): during a rotation two are trusted at once, and a
 * verifier that looks an issuer up by name would try the wrong key.
 */
export async function createAuthority(
  name: string,
  now: Date,
  lifetimeDays: number = AUTHORITY_LIFETIME_DAYS,
): Promise<KeyPair> {
  const { publicKey, key, signingKey } = await newKey();
  const subject = commonName(`${name.slice(0, 40)} ${now.toISOString().slice(0, 19)}Z`);
  const certificate = signCertificate({
    issuer: subject,
    subject,
    notBefore: new Date(now.getTime() - BACKDATE_MS),
    notAfter: new Date(now.getTime() + lifetimeDays * DAY_MS),
    publicKey,
    signingKey,
    extensions: authorityExtensions(publicKey),
  });
  return { certificate, key };
}

/** An authority that is ready to sign; to be kept where it signs many. */
export interface Signer {
  readonly issuer: Issuer;
  readonly notAfter: Date;
  readonly signingKey: KeyObject;
}

/** Throws {@link AuthorityKeyError}, and what Node throws for PEM that cannot be read. */
export function signerOf(authority: KeyPair): Signer {
  const certificate = new X509Certificate(authority.certificate);
  const signingKey = createPrivateKey(authority.key);
  if (signingKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new AuthorityKeyError(`the authority's key is ${signingKey.asymmetricKeyType}, not ECDSA on P-256`);
  }
  return { issuer: issuerOf(certificate), notAfter: certificate.validToDate, signingKey };
}

/** A certificate for a server that also authenticates itself to its peers (Patroni's REST API). */
export function issueCertificate(
  authority: KeyPair,
  dnsNames: readonly string[],
  now: Date,
  lifetimeDays: number = CERTIFICATE_LIFETIME_DAYS,
): Promise<KeyPair> {
  return issueWith(signerOf(authority), dnsNames, now, lifetimeDays);
}

export async function issueWith(
  { issuer, notAfter, signingKey }: Signer,
  dnsNames: readonly string[],
  now: Date,
  lifetimeDays: number = CERTIFICATE_LIFETIME_DAYS,
): Promise<KeyPair> {
  const { publicKey, key } = await newKey();
  const certificate = signCertificate({
    issuer: issuer.name,
    // A common name is bounded at 64 characters and no client reads it: the alternative names are what counts.
    subject: commonName((dnsNames[0] ?? 'server').slice(0, 64)),
    notBefore: new Date(now.getTime() - BACKDATE_MS),
    notAfter: new Date(Math.min(now.getTime() + lifetimeDays * DAY_MS, notAfter.getTime())),
    publicKey,
    signingKey,
    extensions: serverExtensions(dnsNames, issuer),
  });
  return { certificate, key };
}

interface NewKey {
  /** Encoded SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  /** PKCS #8, PEM. */
  readonly key: string;
  readonly signingKey: KeyObject;
}

const generate = promisify(generateKeyPair);

async function newKey(): Promise<NewKey> {
  const { publicKey, privateKey } = await generate('ec', { namedCurve: 'P-256' });
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    signingKey: privateKey,
  };
}
