-- The source stands in each branch: a CTE that is read thrice is kept, whole, in memory.
with

{% for resource in resources() -%}
{{ resource }}_items as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        usage_type_prefix,
        instance_id,
        cluster_name,
        node_name,
        namespace,
        pod_name,
        pod_uid,
        workload_type,
        workload_name,
        deployment,
        labels,
        usage_hour,
        usage_hour::date as usage_date,
        '{{ resource }}' as resource,
        {{ resource }}_reserved_hours as reserved_hours,
        {{ resource }}_used_hours as used_hours,
        {{ resource }}_allocated_hours as allocated_hours,
        {{ resource }}_split_usage_ratio as split_usage_ratio,
        {% for basis in bases() -%}
        {{ resource }}_{{ basis }}_split_usd as {{ basis }}_split_usd,
        {{ resource }}_{{ basis }}_unused_usd as {{ basis }}_unused_usd
        {{- ',' if not loop.last }}
        {% endfor %}
    from {{ source('split', 'pod_costs') }}
    {% if resource == 'accelerator' -%}
    where is_accelerated
    {%- endif %}

),

{% endfor -%}
final as (

    {% for resource in resources() -%}
    select * from {{ resource }}_items
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select * from final
