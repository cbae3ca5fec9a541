// `upriver schema`: the JSON Schema of the configuration file, for editors.
import { jsonSchema } from '../config/json-schema.ts';

/** Returns the exit code. */
export function schema(): number {
  console.log(JSON.stringify(jsonSchema(), null, 2));
  return 0;
}
