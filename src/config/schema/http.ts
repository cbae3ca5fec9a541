// What is added to and taken from requests and responses: `http`.
import { z } from 'zod';
import type { HeaderRules, HttpPolicy } from '../../model/service.ts';
import { network } from '../address-values.ts';
import { NETWORK } from '../forms.ts';
import { fieldName, fieldValue, requestId } from '../http-values.ts';
import { flag, listOf } from '../values.ts';

const headerRules = z
  .record(fieldName, fieldValue)
  .prefault({})
  .meta({ description: 'Fields to set; an empty value removes the field.' });

const renameRules = z
  .record(fieldName, fieldName)
  .default({})
  .meta({ description: 'Fields to rename, new name by old one; done before fields are set.' });

export const httpSchema = z.strictObject({
  trusted_proxies: listOf(network, NETWORK).prefault([]).meta({
    description:
      "Networks whose X-Forwarded-* are believed and extended; all others' are replaced.",
  }),
  forwarded: flag.prefault(false).meta({ description: 'Send RFC 7239 Forwarded as well.' }),
  via: flag
    .prefault(false)
    .meta({ description: 'Add Via, and refuse requests that passed through here before.' }),
  request_id: requestId.prefault(false).meta({
    description:
      "Give every request an X-Request-Id: sent to the endpoint, returned to the client, and in the logs. true takes the id of trusted proxies, keep that of any client; else it is a new one, in place of the client's.",
  }),
  server: fieldValue
    .prefault('')
    .meta({ description: 'Server field of our own replies; none by default.' }),
  request_headers: headerRules,
  response_headers: headerRules,
  rename_request_headers: renameRules,
  rename_response_headers: renameRules,
});

export function buildHttp(http: z.output<typeof httpSchema>): HttpPolicy {
  return {
    trustedProxies: http.trusted_proxies,
    forwarded: http.forwarded,
    via: http.via,
    requestId: http.request_id,
    serverName: http.server,
    headers: {
      request: buildRules(http.request_headers, http.rename_request_headers),
      response: buildRules(http.response_headers, http.rename_response_headers),
    },
  };
}

type Fields = Readonly<Record<string, string>>;

function buildRules(set: Fields, rename: Fields): HeaderRules {
  const names = lowerNames(rename);
  const renames = Object.entries(names).map(([from, to]) => [from, to.toLowerCase()]);
  return { set: lowerNames(set), rename: Object.fromEntries(renames) };
}

function lowerNames(fields: Fields): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]),
  );
}
