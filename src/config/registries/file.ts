// `registries.file`.
import { z } from 'zod';
import type { FileSettings } from '../../model/registries/file.ts';
import { targetPath } from '../address-values.ts';
import { tagPrefix } from './tag-prefix.ts';
import { trustKeys } from './trust.ts';

export const fileSchema = z.strictObject({
  path: z
    .union([targetPath.transform((path) => [path]), z.array(targetPath)])
    .prefault('endpoints.yaml')
    .meta({
      description:
        "Files with target groups in Prometheus' format, JSON or YAML; the last part may have `*`.",
    }),
  tag_prefix: tagPrefix,
  ...trustKeys,
});

export function buildFile(input: z.output<typeof fileSchema>): FileSettings {
  return {
    paths: input.path,
    tagPrefix: input.tag_prefix,
    listenAllow: input.listen_allow,
    endpointDeny: input.endpoint_deny,
  };
}
