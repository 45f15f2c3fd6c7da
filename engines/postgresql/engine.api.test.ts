import { describeSession } from '#engines/conformance.ts';
import { ensurePostgresImage } from '#hack/images/build.ts';
import { postgresFixture } from './testing/fixture.ts';

describeSession(postgresFixture(ensurePostgresImage));
