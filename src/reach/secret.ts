import { statSync } from 'node:fs';
import { CodedError, messageOf } from '../base/coded-error.ts';
import { readRegularFile } from '../base/regular-file.ts';
import { BOUNDS } from '../model/bounds.ts';

export interface SecretOptions {
  readonly text: string;
  /** Read again when it changes; wins over `text`. */
  readonly file: string;
  /** The key of the configuration that names the file. */
  readonly key: string;
}

/** A token or password: fixed, or the content of a file that is read again when it changes. */
export class Secret {
  private readonly fixed: string;
  private readonly file: string;
  private readonly key: string;
  private text = '';
  private version = '';

  constructor({ text, file, key }: SecretOptions) {
    this.fixed = text;
    this.file = file;
    this.key = key;
  }

  get isFile(): boolean {
    return this.file !== '';
  }

  /**
   * The secret as it is now; '' for none. Throws CodedError when the file could never be read; a
   * file that is away later (while it is being replaced) leaves the secret as it was.
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
      throw new CodedError('secret-file', `${this.key} ${this.file}: ${messageOf(error)}`);
    }
    return this.text;
  }
}
