import { CodedError, messageOf } from '../base/coded-error.ts';
import { readInTime, stampInTime } from '../base/timely-file.ts';
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
   * The secret as it is now; '' for none. Rejects with CodedError when the file could never be read; a
   * file that is away later (while it is being replaced), or whose disk hangs, leaves the secret as it was.
   */
  read(): string | Promise<string> {
    return this.isFile ? this.readFile() : this.fixed;
  }

  private async readFile(): Promise<string> {
    try {
      const version = await stampInTime(this.file);
      if (version !== this.version) {
        const bytes = await readInTime(this.file, BOUNDS.tokenFile.max);
        this.text = bytes.toString().trim();
        this.version = version;
      }
    } catch (error) {
      if (this.version !== '') return this.text;
      throw new CodedError('secret-file', `${this.key} ${this.file}: ${messageOf(error)}`);
    }
    return this.text;
  }
}
