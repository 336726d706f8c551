/* Linked into every program of the asan preset. Vulkan's loader unloads drivers and layers when an
 * instance goes; what they leaked is then reported at exit against "<unknown module>" or whatever
 * was mapped there since, and tests/lsan.supp cannot name it. So nothing is ever unloaded. */
__attribute__((visibility("default"))) int dlclose(void *handle);

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
