#version 460
// Writes the arguments of an indirect dispatch (tests/vk/test_cmd.c).
layout(local_size_x = 1) in;
layout(binding = 0) buffer Args { uint args[]; };
layout(push_constant) uniform Push { uint groups; };
void main()
{
    args[0] = groups;
    args[1] = 1;
    args[2] = 1;
}
