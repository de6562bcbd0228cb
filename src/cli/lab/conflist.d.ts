// Network lists that the build embeds as text.
declare module "*.conflist" {
  const text: string;
  export default text;
}
