import { statSync } from 'node:fs';
import { messageOf } from '../../base/coded-error.ts';
import { readRegularFile } from '../../base/regular-file.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { ConsulSettings } from '../../model/registries/consul.ts';
import { ConsulError } from './answer.ts';

/** The ACL token: fixed, or the content of a file that is read again when it changes. */
export class Token {
  private readonly fixed: string;
  private readonly file: string;
  private text = '';
  private version = '';

  constructor(settings: Pick<ConsulSettings, 'token' | 'tokenFile'>) {
    this.fixed = settings.token;
    this.file = settings.tokenFile;
  }

  get isFile(): boolean {
    return this.file !== '';
  }

  /**
   * The token as it is now; '' for none. Throws ConsulError when the file could never be read; a
   * file that is away later (while it is being replaced) leaves the token as it was.
   */
  read(): string {
    if (!this.isFile) return this.fixed;
    try {
      const { mtimeMs, ino, size } = statSync(this.file);
      const version = `${mtimeMs} ${ino} ${size}`;
      if (version !== this.version) {
        this.text = readRegularFile(this.file, BOUNDS.tokenFile.max).toString().trim();
        this.version = version;
      }
    } catch (error) {
      if (this.version !== '') return this.text;
      throw new ConsulError('token-file', `token_file ${this.file}: ${messageOf(error)}`);
    }
    return this.text;
  }
}
