import { describeRendering } from '#engines/conformance.ts';
import { postgresql } from './engine.ts';
import { sampleShard } from './testing/shard.ts';

describeRendering({ engine: postgresql, shard: sampleShard });
