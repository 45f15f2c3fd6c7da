/** What the containers of a member may use. */
import { z } from 'zod';
import { quantity } from './common.ts';
import { type Rule, withRules } from './rules.ts';

const amounts = z.object({
  cpu: quantity.exactOptional().describe('Processor time: 500m is half of one core.'),
  memory: quantity.exactOptional().describe('Memory.'),
});

function withinLimit(resource: 'cpu' | 'memory'): Rule {
  const both = `has(self.requests) && has(self.limits) && has(self.requests.${resource}) && has(self.limits.${resource})`;
  return {
    rule: `!(${both}) || quantity(string(self.requests.${resource})).compareTo(quantity(string(self.limits.${resource}))) <= 0`,
    message: `requests.${resource} must not exceed limits.${resource}: raise the limit or lower the request`,
    fieldPath: '.requests',
  };
}

export const resourcesSpec = withRules(
  z.object({
    requests: amounts.exactOptional().describe('What the scheduler sets aside.'),
    limits: amounts.exactOptional().describe('What is never exceeded.'),
  }),
  withinLimit('cpu'),
  withinLimit('memory'),
);

export type ResourcesSpec = z.infer<typeof resourcesSpec>;

export const poolerSpec = withRules(
  z.object({
    poolSize: z
      .int()
      .min(1)
      .max(10_000)
      .default(20)
      .describe('Server connections of a member, for each login.'),
    reservePoolSize: z
      .int()
      .min(0)
      .max(1000)
      .default(5)
      .describe('More of them when clients have waited too long.'),
    maxClientConnections: z
      .int()
      .min(1)
      .max(100_000)
      .default(1000)
      .describe('Client connections that a member accepts.'),
    resources: resourcesSpec.prefault({}).describe('Resources of the pooler container.'),
  }),
  {
    rule: 'self.poolSize <= self.maxClientConnections',
    message: 'poolSize must not exceed maxClientConnections: lower poolSize',
    fieldPath: '.poolSize',
  },
);

export type PoolerSpec = z.infer<typeof poolerSpec>;
