/**
 * Which BackupPolicy a fleet is under. Of several that name it the oldest has it, and keeps it when younger ones come: what
 * is in force never depends on who was looked at first. Pure.
 */
import type { BackupPolicy } from '#crds/api/backup-policy.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { KubeObject } from '#kernel/object.ts';

export interface Binding {
  /** Names of the fleets that are under the policy. */
  readonly clusters: readonly string[];
  /** Fleets that it names and another has. */
  readonly taken: readonly { readonly cluster: string; readonly by: string }[];
  /** Fleets that it names and that are not there. */
  readonly missing: readonly string[];
}

/** `policies` and `clusters`: all of the policy's namespace. */
export function bindingOf(
  policy: BackupPolicy,
  policies: readonly BackupPolicy[],
  clusters: readonly KubeObject[],
): Binding {
  const chosen = clusters.filter(cluster => selects(policy, cluster));
  const older = policies.filter(each => isOlder(each, policy));
  const taken = chosen.flatMap(cluster => {
    const first = older.filter(each => selects(each, cluster)).toSorted(byAge)[0];
    return first ? [{ cluster: cluster.metadata.name, by: first.metadata.name }] : [];
  });
  const gone = new Set(taken.map(({ cluster }) => cluster));
  const present = new Set(clusters.map(({ metadata }) => metadata.name));
  return {
    clusters: chosen.map(({ metadata }) => metadata.name).filter(name => !gone.has(name)),
    taken,
    missing: (policy.spec.clusters.names ?? []).filter(name => !present.has(name)),
  };
}

/** The policy that has the fleet. */
export function policyOf(cluster: KubeObject, policies: readonly BackupPolicy[]): BackupPolicy | undefined {
  return policies.filter(policy => selects(policy, cluster)).toSorted(byAge)[0];
}

function selects({ metadata, spec }: BackupPolicy, cluster: KubeObject): boolean {
  if (metadata.deletionTimestamp !== undefined) return false;
  const { names, selector } = spec.clusters;
  if (names) return names.includes(cluster.metadata.name);
  return selector !== undefined && matches(selector, cluster.metadata.labels ?? {});
}

type Selector = NonNullable<BackupPolicy['spec']['clusters']['selector']>;

function matches(selector: Selector, labels: Readonly<Record<string, string>>): boolean {
  const wanted = Object.entries(selector.matchLabels ?? {});
  if (!wanted.every(([name, value]) => labels[name] === value)) return false;
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = labels[key];
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return assertNever(operator);
    }
  });
}

function isOlder(a: BackupPolicy, b: BackupPolicy): boolean {
  return a.metadata.name !== b.metadata.name && byAge(a, b) < 0;
}

function byAge(a: BackupPolicy, b: BackupPolicy): number {
  const [left, right] = [a, b].map(({ metadata }) => `${metadata.creationTimestamp ?? '~'} ${metadata.name}`);
  return (left ?? '') < (right ?? '') ? -1 : 1;
}
