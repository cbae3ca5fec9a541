// What a DNS server answers.
import { type Bound, STAYS } from './bound.ts';

export const DNS = {
  dnsAnswer: {
    input: 'answer of a DNS server',
    what: 'size, by TCP or UDP',
    max: 65_535,
    unit: 'bytes',
    beyond: 'no length says more; what follows ends the connection',
  },
  dnsRecords: {
    input: 'answer of a DNS server',
    what: 'questions and records',
    max: 4096,
    unit: 'items',
    beyond: STAYS,
  },
  dnsOthers: {
    input: 'datagrams of a DNS server',
    what: 'with the number of the question that are no answer to it',
    max: 16,
    unit: 'items',
    beyond: 'the question fails; the next server is asked',
  },
  dnsName: {
    input: 'name in an answer of a DNS server',
    what: 'size, with what its pointers lead to',
    max: 255,
    unit: 'bytes',
    beyond: STAYS,
  },
  dnsAliases: {
    input: 'answer of a DNS server',
    what: 'aliases (CNAME) from the name that was asked for to its records',
    max: 16,
    unit: 'items',
    beyond: 'the name counts as one without records',
  },
} as const satisfies Readonly<Record<string, Bound>>;
