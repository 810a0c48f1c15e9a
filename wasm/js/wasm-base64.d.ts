/** The module with gzip, as base64; the build makes it. */
declare const base64: string;
export default base64;
