// The door to datagrams of a world that has none: whoever asks for them is told so.
import { CodedError } from '../../src/base/coded-error.ts';
import type { Datagrams } from '../../src/proxy/datagrams.ts';

export const noDatagrams: Datagrams = {
  listen: () => Promise.reject(none()),
  connect() {
    throw none();
  },
};

function none(): CodedError {
  return new CodedError('EAFNOSUPPORT', 'there are no datagrams in this world');
}
