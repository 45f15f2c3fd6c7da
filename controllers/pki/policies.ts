/**
 * "Does this certificate need to be made again, and why": a chain of pure checks, each `(input) => reason | undefined`.
 * The first that speaks wins.
 */
import { X509Certificate } from 'node:crypto';

export interface CertificateFacts {
  /** PEM of what the Secret holds now; undefined when the Secret or the field is missing. */
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly dnsNames: readonly string[];
  /** PEM of the authority that issues now. */
  readonly issuer: string;
  readonly now: Date;
}

export type ReissueReason = 'Missing' | 'Unreadable' | 'NamesDiffer' | 'IssuerDiffers' | 'Expiring';

/** Undefined while the certificate may stay. */
export function reissueReason(facts: CertificateFacts): ReissueReason | undefined {
  if (!facts.certificate || !facts.key) return 'Missing';
  const certificate = parseCertificate(facts.certificate);
  if (!certificate) return 'Unreadable';
  if (!sameNames(certificate, facts.dnsNames)) return 'NamesDiffer';
  if (renewalDue(certificate, facts.now)) return 'Expiring';
  const issuer = parseCertificate(facts.issuer);
  if (!issuer) return undefined;
  return certificate.verify(issuer.publicKey) ? undefined : 'IssuerDiffers';
}

/** When two thirds of the lifetime have passed: what is left is time to notice that renewing fails. */
export function renewalTime(certificate: X509Certificate): Date {
  const start = certificate.validFromDate.getTime();
  return new Date(start + ((certificate.validToDate.getTime() - start) * 2) / 3);
}

export function renewalDue(certificate: X509Certificate, now: Date): boolean {
  return now.getTime() >= renewalTime(certificate).getTime();
}

export function parseCertificate(text: string): X509Certificate | undefined {
  try {
    return new X509Certificate(text);
  } catch {
    return undefined;
  }
}

/** The certificates of a bundle in their order; what does not parse is left out. */
export function parseBundle(bundle: string): readonly X509Certificate[] {
  const blocks = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map(parseCertificate).filter(certificate => certificate !== undefined);
}

function sameNames(certificate: X509Certificate, wanted: readonly string[]): boolean {
  const have = new Set(certificate.subjectAltName?.split(', ').map(name => name.replace(/^DNS:/, '')));
  return have.size === new Set(wanted).size && wanted.every(name => have.has(name));
}
