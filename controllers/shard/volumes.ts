/**
 * Growing the volumes of a shard. A StatefulSet's claim templates cannot be changed, so: first the claims are asked to
 * grow, one write each, then the StatefulSet is deleted with its pods left alone and made again with the new size. Pure.
 */
import { parseQuantity } from '#controllers/quantity.ts';
import type { PersistentVolumeClaim, StatefulSet, StorageClass } from '#kernel/resources.ts';

export interface VolumeInput {
  readonly statefulSet: StatefulSet | undefined;
  /** Claims of this shard's members. */
  readonly claims: readonly PersistentVolumeClaim[];
  /** spec.storage.size. */
  readonly size: string;
  /** The class of a claim, by its name; undefined when there is none of that name. */
  readonly storageClass: (name: string) => StorageClass | undefined;
}

export type VolumeStep =
  | { readonly kind: 'Fits' }
  | { readonly kind: 'Grow'; readonly claims: readonly PersistentVolumeClaim[]; readonly recreate: boolean }
  | {
      readonly kind: 'Refused';
      readonly reason: 'VolumesCannotShrink' | 'VolumesCannotGrow';
      readonly message: string;
      /** The size that the StatefulSet keeps. */
      readonly size: string;
    };

export function decideVolumes(input: VolumeInput): VolumeStep {
  const template = input.statefulSet?.spec?.volumeClaimTemplates?.[0];
  const current = template?.spec?.resources?.requests?.['storage'];
  if (current === undefined) return { kind: 'Fits' };
  const now = bytes(current);
  const wanted = bytes(input.size);
  if (wanted < now) {
    return {
      kind: 'Refused',
      reason: 'VolumesCannotShrink',
      message: `volumes have ${current} and cannot shrink to ${input.size}: set spec.storage.size to ${current} or more`,
      size: current,
    };
  }
  const small = input.claims.filter(claim => bytes(requested(claim)) < wanted);
  if (wanted === now && small.length === 0) return { kind: 'Fits' };
  const fixed = small.find(claim => !expandable(claim, input.storageClass));
  if (fixed) {
    const className = fixed.spec?.storageClassName ?? '';
    return {
      kind: 'Refused',
      reason: 'VolumesCannotGrow',
      message:
        `claim ${fixed.metadata.name} cannot grow from ${requested(fixed)} to ${input.size}: its StorageClass ` +
        `${className || '(none)'} has no allowVolumeExpansion; set it there, or set spec.storage.size back to ${current}`,
      size: current,
    };
  }
  return { kind: 'Grow', claims: small, recreate: wanted !== now };
}

function expandable(claim: PersistentVolumeClaim, storageClass: VolumeInput['storageClass']): boolean {
  const name = claim.spec?.storageClassName;
  return name !== undefined && storageClass(name)?.allowVolumeExpansion === true;
}

function requested(claim: PersistentVolumeClaim): string {
  return claim.spec?.resources?.requests?.['storage'] ?? '0';
}

function bytes(text: string): number {
  return parseQuantity(text) ?? 0;
}
