// The settings that a service gives itself where a registry lists them for the service as a whole. No more of them
// are read than a service can have: each is validated on its own, which takes time.
import { BOUNDS } from '../model/bounds.ts';
import type { ServiceSettings } from './provider.ts';

const SHOWN_CHARS = 100;

export class OwnSettings {
  private readonly settings = new Map<string, string>();

  /** Undefined where it was not said, or left out. */
  get(key: string): string | undefined {
    return this.settings.get(key);
  }

  /** Takes a setting. Returns why it is left out; '' where it is not. */
  put(key: string, value: string): string {
    const { settings } = this;
    if (key.length + value.length > BOUNDS.ownSetting.max) {
      const shown = key.slice(0, SHOWN_CHARS);
      return `setting ${shown}: longer than ${BOUNDS.ownSetting.max} characters`;
    }
    if (settings.size >= BOUNDS.ownSettings.max && !settings.has(key)) {
      return `more than ${BOUNDS.ownSettings.max} settings: the others are left out`;
    }
    settings.set(key, value);
    return '';
  }

  /** Null where it does not say where it wants to be served. */
  whole(): ServiceSettings | null {
    // Not by assignment: `__proto__` is a key like any other.
    return this.settings.has('listen') ? Object.fromEntries(this.settings) : null;
  }
}
