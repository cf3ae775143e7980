{# Who has what no node carries, told by tags: those of EKS, of CSI drivers, of the load
   balancer controller and of Kubernetes' cloud provider. Keys are as raw/bill_lines has
   them. docs/method.md has the list. #}

{# Resource ids of a category that are told apart; more than that, nobody reads. #}
{% macro most_resource_ids() %}{{ return(10000) }}{% endmacro %}

{# The cluster, where a tag names it in its value. #}
{% macro tagged_cluster(tags) -%}
    coalesce(
        {{ tag(tags, 'aws_eks_cluster_name') }},
        {{ tag(tags, 'user_eks_cluster_name') }},
        {{ tag(tags, 'user_eks_eks_cluster_name') }},
        {{ tag(tags, 'user_elbv2_k8s_aws_cluster') }},
        {{ tag(tags, 'user_kubernetes_cluster') }},
        {{ tag(tags, 'user_alpha_eksctl_io_cluster_name') }}
    )
{%- endmacro %}

{# The cluster, where a tag names it in its key, kubernetes.io/cluster/<name>: in the bill
   its signs are all underscores. #}
{% macro cluster_in_key(tags) %}{{ return(adapter.dispatch('cluster_in_key')(tags)) }}{% endmacro %}
{% macro default__cluster_in_key(tags) -%}
    substr(list_min(list_filter(
        map_keys({{ tags }}),
        lambda key: key like 'user\_kubernetes\_io\_cluster\__%' escape '\'
    )), 28)
{%- endmacro %}
{% macro spark__cluster_in_key(tags) -%}
    substr(array_min(filter(
        map_keys({{ tags }}), key -> key like 'user\\_kubernetes\\_io\\_cluster\\__%'
    )), 28)
{%- endmacro %}

{# A name as it is spelled in a tag's key. #}
{% macro as_in_key(name) %}{{ return(adapter.dispatch('as_in_key')(name)) }}{% endmacro %}
{% macro default__as_in_key(name) -%}
    regexp_replace(lower({{ name }}), '[^a-z0-9]+', '_', 'g')
{%- endmacro %}
{% macro spark__as_in_key(name) -%}
    regexp_replace(lower({{ name }}), '[^a-z0-9]+', '_')
{%- endmacro %}

{# What precedes and what follows the slash of namespace/name. #}
{% macro before_slash(text) -%}
    {{ regexp_extract(text, '^([^/]+)/[^/]+$', 1) }}
{%- endmacro %}
{% macro after_slash(text) -%}
    {{ regexp_extract(text, '([^/]+)$', 1) }}
{%- endmacro %}

{% macro tagged_namespace(tags) -%}
    coalesce(
        {{ tag(tags, 'user_kubernetes_io_created_for_pvc_namespace') }},
        {{ before_slash(tag(tags, 'user_service_k8s_aws_stack')) }},
        {{ before_slash(tag(tags, 'user_kubernetes_io_service_name')) }},
        {{ before_slash(tag(tags, 'user_ingress_k8s_aws_stack')) }},
        {{ tag(tags, 'aws_eks_namespace') }}
    )
{%- endmacro %}

{# The claim, service or ingress that it was made for; else who owns it by its own tag. #}
{% macro owner_hint(tags) -%}
    coalesce(
        'pvc/' || {{ tag(tags, 'user_kubernetes_io_created_for_pvc_name') }},
        'service/' || {{ after_slash(tag(tags, 'user_service_k8s_aws_stack')) }},
        'service/' || {{ after_slash(tag(tags, 'user_kubernetes_io_service_name')) }},
        'ingress/' || {{ after_slash(tag(tags, 'user_ingress_k8s_aws_stack')) }}
        {%- for label in owner_labels() %},
        '{{ label }}/' || {{ tag(tags, 'user_' ~ label) }}
        {%- endfor %}
    )
{%- endmacro %}
