// The shape of Consul's health answers as we read them. It is foreign data: every field may be
// missing, null, or of another type, and is looked at before it is used.

export interface Check {
  readonly Node?: string;
  readonly CheckID?: string;
  readonly Name?: string;
  readonly Status?: string;
  readonly Output?: string;
  readonly Notes?: string;
  readonly ServiceName?: string;
  readonly ModifyIndex?: number;
}

/** One instance with its node and all its checks. */
export interface Entry {
  readonly Node?: {
    readonly Node?: string;
    readonly Address?: string;
    readonly ModifyIndex?: number;
  } | null;
  readonly Service?: {
    readonly ID?: string;
    readonly Address?: string;
    readonly Port?: number;
    readonly Tags?: readonly string[] | null;
    readonly Meta?: Readonly<Record<string, string>> | null;
    readonly Weights?: { readonly Passing?: number; readonly Warning?: number } | null;
    readonly ModifyIndex?: number;
  } | null;
  readonly Checks?: readonly Check[] | null;
}
