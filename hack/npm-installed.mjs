/**
 * Exits 0 when node_modules holds exactly what package-lock.json says, so that an up-to-date tree is not installed again.
 * Plain JavaScript: it runs on whatever Node.js the machine has, before there is another.
 */
import { readFileSync } from 'node:fs';

const packages = path => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).packages;

try {
  const wanted = packages('../package-lock.json');
  const found = packages('../node_modules/.package-lock.json');
  const differs = Object.entries(wanted).some(
    ([path, entry]) => path !== '' && !entry.optional && found[path]?.version !== entry.version,
  );
  const foreign = Object.keys(found).some(path => !(path in wanted));
  process.exitCode = differs || foreign ? 1 : 0;
} catch {
  process.exitCode = 1;
}
