{# Who has what no node carries, told by tags: those of EKS, of CSI drivers, of the load
   balancer controller and of Kubernetes' cloud provider. Keys are as raw/bill_lines has
   them. docs/method.md has the list. #}

{# Resources of a category that are told apart, and claims, services and ingresses; more
   than that, nobody reads. #}
{% macro most_resource_ids() %}{{ return(10000) }}{% endmacro %}

{# The ARN of an EKS cluster, or of what belongs to one: its name. #}
{% macro cluster_in_arn() -%}
    {{ return('^arn:[^:]*:eks:[^:]*:[^:]*:[a-z-]+/([^/]+)') }}
{%- endmacro %}

{# The cluster, where a tag names it in its value. #}
{% macro tagged_cluster(tags) -%}
    coalesce(
        {{ tag(tags, 'aws_eks_cluster_name') }},
        {{ tag(tags, 'user_eks_cluster_name') }},
        {{ tag(tags, 'user_eks_eks_cluster_name') }},
        {{ tag(tags, 'user_elbv2_k8s_aws_cluster') }},
        {{ tag(tags, 'user_ingress_k8s_aws_cluster') }},
        {{ tag(tags, 'user_kubernetes_cluster') }},
        {{ tag(tags, 'user_alpha_eksctl_io_cluster_name') }}
    )
{%- endmacro %}

{# The cluster, where a tag names it in its key, kubernetes.io/cluster/<name> = owned or
   shared: in the bill its signs are all underscores. Null where several clusters do. #}
{% macro cluster_in_key(tags) %}{{ return(adapter.dispatch('cluster_in_key')(tags)) }}{% endmacro %}
{% macro default__cluster_in_key(tags) -%}
    {%- set keys -%}
    list_transform(
        list_filter(
            map_entries({{ tags }}),
            lambda entry: entry.key like 'user\_kubernetes\_io\_cluster\__%' escape '\'
                and entry.value in ('owned', 'shared')
        ),
        lambda entry: entry.key
    )
    {%- endset -%}
    case when len({{ keys }}) = 1 then substr(({{ keys }})[1], 28) end
{%- endmacro %}
{% macro spark__cluster_in_key(tags) -%}
    {%- set keys -%}
    filter(
        map_entries({{ tags }}),
        entry -> entry.key like 'user\\_kubernetes\\_io\\_cluster\\__%'
            and entry.value in ('owned', 'shared')
    )
    {%- endset -%}
    case when size({{ keys }}) = 1 then substr(get({{ keys }}, 0).key, 28) end
{%- endmacro %}

{# A name as it is spelled in a tag's key: normal_name of orchestration/bill/columns.py. #}
{% macro as_in_key(name) %}{{ return(adapter.dispatch('as_in_key')(name)) }}{% endmacro %}
{% macro default__as_in_key(name) -%}
    trim(
        regexp_replace(
            lower(regexp_replace({{ name }}, '([A-Z])', '_\1', 'g')), '[^a-z0-9]+', '_', 'g'
        ),
        '_'
    )
{%- endmacro %}
{% macro spark__as_in_key(name) -%}
    trim(
        both '_' from regexp_replace(
            lower(regexp_replace({{ name }}, '([A-Z])', '_$1')), '[^a-z0-9]+', '_'
        )
    )
{%- endmacro %}

{# The value of a tag in a JSON object, whose key is spelled as whoever made it did. #}
{% macro tag_in_json(tags, key) %}{{ return(adapter.dispatch('tag_in_json')(tags, key)) }}{% endmacro %}
{% macro default__tag_in_json(tags, key) -%}
    (list_filter(
        map_entries({{ tags }}::json::map(varchar, varchar)),
        lambda entry: {{ as_in_key('entry.key') }} = '{{ key }}'
    ))[1].value
{%- endmacro %}
{% macro spark__tag_in_json(tags, key) -%}
    get(
        filter(
            map_entries(from_json({{ tags }}, 'map<string,string>')),
            entry -> {{ as_in_key('entry.key') }} = '{{ key }}'
        ),
        0
    ).value
{%- endmacro %}

{# What precedes and what follows the slash of namespace/name. #}
{% macro before_slash(text) -%}
    {{ regexp_extract(text, '^([^/]+)/[^/]+$', 1) }}
{%- endmacro %}
{% macro after_slash(text) -%}
    {{ regexp_extract(text, '([^/]+)$', 1) }}
{%- endmacro %}

{# Tags of the load balancer controller's versions 2 and 1; the first of an ingress may be
   the name of a group. #}
{% macro tagged_namespace(tags) -%}
    coalesce(
        {{ tag(tags, 'user_kubernetes_io_created_for_pvc_namespace') }},
        {{ before_slash(tag(tags, 'user_service_k8s_aws_stack')) }},
        {{ before_slash(tag(tags, 'user_kubernetes_io_service_name')) }},
        {{ before_slash(tag(tags, 'user_ingress_k8s_aws_stack')) }},
        {{ before_slash(tag(tags, 'user_kubernetes_io_ingress_name')) }},
        {{ tag(tags, 'user_kubernetes_io_namespace') }},
        {{ tag(tags, 'aws_eks_namespace') }}
    )
{%- endmacro %}

{# The claim, service or ingress that it was made for. #}
{% macro tagged_object(tags) -%}
    coalesce(
        'pvc/' || {{ tag(tags, 'user_kubernetes_io_created_for_pvc_name') }},
        'service/' || {{ after_slash(tag(tags, 'user_service_k8s_aws_stack')) }},
        'service/' || {{ after_slash(tag(tags, 'user_kubernetes_io_service_name')) }},
        'ingress/' || {{ after_slash(tag(tags, 'user_ingress_k8s_aws_stack')) }},
        'ingress/' || {{ after_slash(tag(tags, 'user_kubernetes_io_ingress_name')) }}
    )
{%- endmacro %}

{# Who owns it by its own tag: the first of PODLEDGER_LABELS that it has, in the order in
   which they were chosen. `value` is a macro that gives a tag's value by its spelling. #}
{% macro tagged_owner(tags, value) -%}
    coalesce(
        {%- for name in labels_in_use() %}
        {%- set parted = modules.re.sub('([A-Z])', '_\\1', name) | lower %}
        {%- set key = modules.re.sub('[^a-z0-9]+', '_', parted).strip('_') %}
        '{{ name | replace("'", "") }}/' || {{ value(tags, key) }},
        {%- endfor %}
        null
    )
{%- endmacro %}

{% macro user_tag(tags, key) -%}
    {{ tag(tags, 'user_' ~ key) }}
{%- endmacro %}
