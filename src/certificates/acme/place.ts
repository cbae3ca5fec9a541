// Where in its folder a certificate that is ordered lies. Another CA has another folder, so that a
// certificate for trying out is never taken for a real one.
import { join } from 'node:path';
import type { AcmeSettings } from '../../model/acme.ts';

/** The folder of one CA: account, lock, certificates and what is known of them. */
export function caFolderOf({ dir, directory }: Pick<AcmeSettings, 'dir' | 'directory'>): string {
  const { host, pathname } = new URL(directory);
  const name = `${host}${pathname}`.replace(/[^A-Za-z0-9.-]+/g, '-').replace(/^[.-]+|-$/g, '');
  return join(dir, name);
}

/** The file with the certificate's chain and its key. */
export function certificateFileOf(acme: AcmeSettings): string {
  return join(caFolderOf(acme), `${acme.domains[0]}.pem`);
}
