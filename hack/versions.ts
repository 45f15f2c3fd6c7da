/**
 * Versions that set-up speaks of by name. Those of Go programs are pinned in hack/go; a test holds the two together.
 */
export const kubernetesVersion = 'v1.34.4';
export const helmVersion = 'v3.19.0';

/** The public node image that kind v0.30 was released with. */
export const publicNodeImage =
  'kindest/node:v1.34.0@sha256:7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a';

/** What the images stand on, in both worlds. */
export const debianSuite = 'trixie';
export const debianImage = `debian:${debianSuite}-slim`;
