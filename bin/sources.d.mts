export declare const STAMP: string;
export declare function sourcesHash(root: string): string;
export declare function entryOf(root: string): string;
