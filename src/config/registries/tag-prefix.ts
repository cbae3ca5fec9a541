// The key `tag_prefix` of registries with target groups.
import { z } from 'zod';

export const tagPrefix = z.string().min(1).default('upriver').meta({
  description:
    'Labels PREFIX.key=value, or PREFIX_key with __ for each dot, are settings of the service.',
});
