/** The files that a definition becomes. */
import { stringify } from 'yaml';
import { isJsonObject, type JsonObject } from './structural.ts';

const notice = '# Generated from crds/api by `make generate`: change the schema there.\n';

function toYaml(object: JsonObject): string {
  return stringify(object, { lineWidth: 0, aliasDuplicateObjects: false });
}

export function crdFile(definition: JsonObject): string {
  return notice + toYaml(definition);
}

/** The chart's copy: installed when asked for, and kept on uninstall, for the data of every fleet hangs on it. */
export function chartFile(definition: JsonObject): string {
  const { metadata } = definition;
  const kept: JsonObject = {
    ...definition,
    metadata: {
      ...(isJsonObject(metadata) ? metadata : {}),
      annotations: { 'helm.sh/resource-policy': 'keep' },
    },
  };
  const body = toYaml(kept);
  if (body.includes('{{')) throw new Error('a definition holds {{, which Helm would take for a template');
  return `{{- /* Generated from crds/api by \`make generate\`: change the schema there. */}}\n{{- if .Values.crds.install }}\n${body}{{- end }}\n`;
}
